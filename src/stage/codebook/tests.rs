use super::*;
use crate::llm::{Answer, Ask, Offers};
use crate::stage::testing::desk;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn book(names: &[&str], dims: usize, vectors: &[i8]) -> Codebook {
    Codebook {
        version: "t-1".into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        dims,
        vectors: vectors.to_vec(),
    }
}

#[test]
fn what_is_written_is_read() {
    let book = book(&["sea", "céu"], 3, &[1, -2, 3, -128, 127, 0]);
    assert_eq!(Codebook::parse(&book.write().expect("fits")).expect("readable"), book);
}

#[test]
fn cut_changed_and_strange_bytes_are_told_with_their_key() {
    let bytes = book(&["sea", "sky"], 2, &[1, 2, 3, 4]).write().expect("fits");
    for at in 0..bytes.len() {
        assert!(Codebook::parse(&bytes[..at]).is_err(), "cut at {at}");
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Codebook::parse(&changed).expect_err("changed").to_string().contains("key=select.codebook"));
    }
    // A count that lies, under a checksum that holds.
    let mut lying = MAGIC.to_vec();
    for value in [0_u32, u32::MAX, u32::MAX] {
        lying.extend(value.to_le_bytes());
    }
    let sum = xxh3_64(&lying).to_le_bytes();
    lying.extend(sum);
    assert!(Codebook::parse(&lying).is_err());
}

#[test]
fn equal_codes_are_told_apart_by_name_and_not_by_order() {
    let (ab, ba) = (book(&["a", "b"], 1, &[5, 5]), book(&["b", "a"], 1, &[5, 5]));
    let name = |book: &Codebook| book.names[book.nearest(&[7]).expect("fits") as usize].clone();
    assert_eq!(name(&ab), name(&ba));
}

#[test]
fn another_models_vectors_are_told() {
    let told = book(&["a"], 2, &[1, 2]).nearest(&[1]).expect_err("dims").to_string();
    assert!(told.contains("key=select.codebook") && told.contains("dims=2, wanted=1"), "{told}");
    assert_eq!(Codebook::none().nearest(&[1, 2, 3]).expect("fits all"), 0);
}

#[test]
fn a_list_becomes_a_codebook() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let embed = Offers { embed: true, ..Offers::default() };
    let desk = desk(embed, |ask| match ask {
        Ask::Embed { text } => Ok(Answer::Vector(vec![i8::try_from(text.len()).expect("short"), 1])),
        _ => panic!("asked otherwise"),
    });
    let bytes = runtime.block_on(build(&desk, "# t-1\nsea\tTides.\nsky\tBlue light.\n")).expect("built");
    assert_eq!(Codebook::parse(&bytes).expect("readable"), book(&["sea", "sky"], 2, &[10, 1, 15, 1]));
    for broken in
        ["", "sea\tTides.", "# t-1\n", "# t-1\nsea Tides.", "# t-1\nsea\tx\nsea\ty", "# t-1\nsea\t "]
    {
        assert!(runtime.block_on(build(&desk, broken)).is_err(), "{broken}");
    }
}

#[test]
fn the_shipped_list_is_broad_and_its_codebook_is_of_it() {
    let tsv = include_str!("../../../data/codebooks/topics-1.tsv");
    let (version, topics) = topics_of(tsv).expect("readable");
    assert_eq!(version, SHIPPED);
    assert!((192..=256).contains(&topics.len()), "{}", topics.len());
    let sentences: BTreeSet<&str> = topics.iter().map(|(_, sentence)| sentence.as_str()).collect();
    assert_eq!(sentences.len(), topics.len());
    let book = Codebook::named(SHIPPED).expect("built in").expect("readable");
    assert_eq!(book.version, SHIPPED);
    assert!(book.names.iter().eq(topics.iter().map(|(name, _)| name)), "build it again");
    // Every topic is its own nearest: no two of them share a cell.
    for (vector, cell) in book.vectors.chunks_exact(book.dims).zip(0_u32..) {
        assert_eq!(book.nearest(vector).expect("fits"), cell);
    }
}

#[test]
fn the_shipped_codebook_is_what_its_list_and_model_give() {
    use crate::llm::{
        Role,
        embedded::Embedded,
        models::{Cache, MINILM, MINILM_TOKENIZER},
    };
    let cache = Cache::at(None).expect("a home folder");
    if cache.find(&MINILM).is_none() || cache.find(&MINILM_TOKENIZER).is_none() {
        println!("skipped: the model files are not there, fetch them with `isogloss models --fetch`");
        return;
    }
    let desk = Desk::bare(Embedded::open(&cache, &[Role::Embed], &[], 2).expect("opens"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let tsv = include_str!("../../../data/codebooks/topics-1.tsv");
    let again = Codebook::parse(&runtime.block_on(build(&desk, tsv)).expect("built")).expect("readable");
    let shipped = Codebook::named(SHIPPED).expect("built in").expect("readable");
    assert_eq!((&again.version, &again.names, again.dims), (&shipped.version, &shipped.names, shipped.dims));
    // Sums of floats may differ in the last bit between processors, and so a component by one.
    let near = again.vectors.iter().zip(&shipped.vectors).all(|(a, b)| a.abs_diff(*b) <= 1);
    assert!(
        near,
        "build it again with `isogloss codebook data/codebooks/topics-1.tsv data/codebooks/topics-1.bin`"
    );
}

proptest! {
    #[test]
    fn cells_agree_with_a_plain_search(vectors in prop::collection::vec(prop::collection::vec(-127..=127_i8, 3), 1..6), vector in prop::collection::vec(-127..=127_i8, 3)) {
        let names: Vec<String> = (0..vectors.len()).map(|i| format!("n{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let cell = book(&names, 3, &vectors.concat()).nearest(&vector).expect("fits") as usize;
        let dot = |code: &Vec<i8>| (0..3).map(|i| i32::from(code[i]) * i32::from(vector[i])).sum::<i32>();
        prop_assert_eq!(dot(&vectors[cell]), vectors.iter().map(dot).max().expect("some"));
    }

    #[test]
    fn bytes_of_strangers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(Codebook::parse(&bytes).is_err());
    }
}
