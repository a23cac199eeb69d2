//! What a plan tells, against what a run then does; and the care of a state.

use super::*;

/// What a plan tells of a role.
fn asked_of(plan: &serde_json::Value, role: &str, field: &str) -> u64 {
    let roles = plan["roles"].as_array().expect("roles");
    let asked = &roles.iter().find(|asked| asked["role"] == role).expect("a role")[field];
    asked.as_u64().unwrap_or_else(|| panic!("{role}.{field}: {plan}"))
}

/// What it tells of those that are paid.
fn planned(plan: &serde_json::Value, field: &str) -> [u64; 4] {
    ["translate", "instruct", "score", "localize"].map(|role| asked_of(plan, role, field))
}

/// Knows no word, and takes whole texts for one.
const ONE_TOKEN: &str = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
    "pre_tokenizer":null,"post_processor":null,"decoder":null,
    "model":{"type":"WordLevel","vocab":{"?":0},"unk_token":"?"}}"#;

#[test]
fn a_plan_tells_what_a_run_does_and_a_state_is_looked_after() {
    let Some(world) = World::new() else { return };
    let (server, folder) = (&world.server, &world.folder);
    let at = |name: &str| world.at(name);
    std::fs::create_dir(folder.path().join("shards")).expect("made");
    let put = |name: &str, lang: &str| {
        let from = std::fs::read_dir(Path::new("data/corpora").join(lang)).expect("part of the checkout");
        let first = from.map(|entry| entry.expect("an entry").path()).min().expect("a shard");
        std::fs::copy(first, folder.path().join("shards").join(name)).expect("copied");
    };
    put("a.parquet", "tur_Latn");
    let text = format!("input = ['{}']\noutput = '{}'\n{}", at("shards"), at("out"), server.settings());
    std::fs::write(at("run.toml"), text).expect("written");
    let plan = |more: &[&str]| -> serde_json::Value {
        let told = done(&[&["plan", &at("run.toml"), "--json"], more].concat());
        serde_json::from_str(told.trim()).expect("JSON")
    };
    let first = plan(&[]);
    assert_eq!(
        (first["added"].as_array().map(Vec::len), first["starts_anew"].as_str()),
        (Some(1), Some("dedup"))
    );
    // All of the shard fits the sample, and nothing is known of what its rows will be worth.
    let before = planned(&first, "calls");
    assert_eq!(before[0], planned(&first, "calls_at_most")[0], "the journal is empty");
    assert_eq!(server.bill().all(), 0, "a plan asks nobody");
    let ran = run_told(&at("run.toml"));
    for field in [
        "digest",
        "added",
        "counts",
        "calls",
        "seconds",
        "peak_memory_bytes",
        "starts_anew",
        "row_groups_read",
    ] {
        assert!(!ran[field].is_null(), "{field} in {ran}");
    }
    let asked = server.bill().all();
    // One is a near-duplicate of another, which a plan does not look for.
    assert_eq!((before[0], came(&ran, "translate")), (5, 4), "{ran}");
    assert!(before[1] >= came(&ran, "instruct") && before[3] >= came(&ran, "localize"), "{before:?}, {ran}");
    assert!(plan(&[])["done"] == true && done(&["plan", &at("run.toml")]).contains("nothing to do"));

    // A threshold asks for what it newly chooses alone; a shard more is estimated; a sample begins behind dedup.
    let wider = plan(&["--set", "select.threshold.target_rate=0.9"]);
    assert_eq!((wider["starts_anew"].as_str(), wider["row_groups"].as_u64()), (Some("select"), Some(0)));
    assert_eq!(asked_of(&wider, "translate", "calls_at_most"), 0);
    let (about, at_most) =
        (asked_of(&wider, "localize", "calls"), asked_of(&wider, "localize", "calls_at_most"));
    assert!(0 < about && about <= at_most, "{wider}");
    // Another setting of dedup makes everything anew, and the journal answers all of it but what it newly lets in.
    let anew = plan(&["--set", "dedup.least_resemblance=0.79"]);
    assert_eq!(anew["starts_anew"], "dedup");
    assert_eq!(planned(&anew, "calls")[..3], [0; 3], "{anew}");
    assert!(planned(&anew, "calls_at_most")[..3].iter().all(|calls| *calls > 0), "{anew}");
    assert_eq!(plan(&["--set", "sample.per_lang=3"])["starts_anew"], "sample");
    assert_eq!(plan(&["--set", "score.least_cosine=0.9"])["starts_anew"], "models");
    assert_eq!(plan(&["--set", "localize.reference_chars=777"])["starts_anew"], serde_json::Value::Null);
    put("b.parquet", "vie_Latn");
    let more = plan(&[]);
    assert_eq!((more["added"].as_array().map(Vec::len), more["unchanged"].as_u64()), (Some(1), Some(1)));
    assert!(asked_of(&more, "translate", "calls") > 0, "{more}");
    assert_eq!(server.bill().all(), asked, "plans ask nobody");
    // What is read is measured on the sample; what is written is what the server counts: 5 tokens for a turn.
    let translate =
        more["roles"].as_array().expect("roles").iter().find(|asked| asked["role"] == "translate");
    let (translate, calls) = (translate.expect("a role"), asked_of(&more, "translate", "calls"));
    let cost = &translate["cost"];
    assert_eq!((&translate["input_by"], &translate["output_by"]), (&"sample".into(), &"journal".into()));
    assert!(cost["input_tokens"].as_u64().is_some_and(|tokens| tokens > calls * 100), "{more}");
    assert_eq!(cost["output_tokens"].as_u64(), Some(calls * 5), "{more}");
    assert_eq!(translate["langs"]["vie_Latn"]["calls"].as_u64(), Some(calls), "only what is new is asked");
    assert!(translate["langs"]["tur_Latn"].is_null(), "{more}");
    assert!(translate["hours"].as_f64().is_some_and(|hours| hours > 0.0), "{more}");
    assert_eq!(translate["langs"]["vie_Latn"]["hours"], translate["hours"], "one lang has all of it");

    // To this tokenizer a message is one token: what is told to the system, and what is asked.
    std::fs::write(at("tokenizer.json"), ONE_TOKEN).expect("written");
    let counted = plan(&["--set", &format!("endpoints.m.tokenizer={}", at("tokenizer.json"))]);
    let roles = counted["roles"].as_array().expect("roles");
    let translate = roles.iter().find(|asked| asked["role"] == "translate").expect("a role");
    assert_eq!(translate["cost"]["input_tokens"].as_u64(), Some(2 * calls), "{counted}");

    done(&["run", &at("run.toml")]);
    let shown = done(&["state", "show", &at("out")]);
    assert!(
        ["dedup/bands", "dedup/docs", "scored", "selected", "artefacts"]
            .iter()
            .all(|name| shown.contains(name)),
        "{shown}"
    );
    assert!(done(&["state", "verify", &at("out")]).contains("state holds"));
    assert!(done(&["state", "compact", &at("out")]).contains("compacted"));
    assert!(done(&["state", "verify", &at("out")]).contains("state holds"));
    std::fs::write(folder.path().join("out/state/runs/left.run"), "left behind").expect("written");
    assert!(done(&["state", "collect", &at("out")]).contains("files=1"));
    assert!(plan(&[])["done"] == true, "looking after a state changes nothing");
    let asked = server.bill().all();
    std::fs::remove_file(folder.path().join("shards/b.parquet")).expect("removed");
    let back = run_told(&at("run.toml"));
    assert_eq!(back["digest"], ran["digest"], "a shard that came and went leaves nothing");
    assert_eq!(server.bill().all(), asked, "nothing is asked for what goes");
    assert_eq!(isogloss(&["state", "show", &at("none")]).0, 3);
}
