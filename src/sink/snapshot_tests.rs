//! Snapshots: what a kill leaves, what is shared, what is collected.

use super::*;
use crate::model::Lang;
use crate::sink::file::ContentFile;
use crate::sink::manifest::Part;
use std::time::SystemTime;

fn stored(output: &Output, tag: &str, shard: &str, bytes: &[u8]) -> Part {
    let mut file = ContentFile::create(&output.store().join(tag), shard).expect("made");
    file.write_all(bytes).expect("written");
    let stored = file.finish().expect("whole");
    let lang = Lang::from_tag(tag).expect("in the table");
    let (bytes, name, hash) = (stored.bytes, stored.name, stored.hash);
    Part { lang, shard: shard.into(), rows: 1, bytes, name, hash, ..Part::default() }
}

fn manifest_of(parts: &[&Part]) -> Manifest {
    Manifest { parts: parts.iter().map(|part| (*part).clone()).collect(), ..Manifest::default() }.sealed()
}

fn seen(folder: &Path, tag: &str) -> Vec<String> {
    names(&folder.join(CURRENT).join(tag)).unwrap_or_default()
}

#[test]
fn a_second_run_of_the_same_writes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Output::open(folder.path()).expect("free");
    let part = stored(&output, "por_Latn", "a", b"one");
    let manifest = manifest_of(&[&part]);
    assert!(output.publish(&manifest, "card", 2).expect("published").written);
    let times = |output: &Output| -> Vec<SystemTime> {
        let current = output.folder().join(CURRENT);
        let paths = [current.join(NAME), current.join(CARD), current.join("por_Latn").join(&part.name)];
        paths.iter().map(|path| fs::metadata(path).expect("there").modified().expect("known")).collect()
    };
    let before = times(&output);
    drop(output);
    let output = Output::open(folder.path()).expect("free");
    assert!(!output.publish(&manifest, "card", 2).expect("published").written);
    assert_eq!(before, times(&output));
    assert_eq!(numbers(&folder.path().join(SNAPSHOTS)).expect("listed"), [1]);
}

#[test]
fn a_second_process_is_told_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let _held = Output::open(folder.path()).expect("free");
    let told = Output::open(folder.path()).expect_err("held").to_string();
    assert!(told.contains("in use") && told.contains("remedy="), "{told}");
}

#[test]
fn a_kill_between_staging_and_switching_leaves_the_old_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Output::open(folder.path()).expect("free");
    let (old, new) = (stored(&output, "por_Latn", "a", b"one"), stored(&output, "por_Latn", "a", b"two"));
    output.publish(&manifest_of(&[&old]), "old", 2).expect("published");
    let new = Part { name: new.name, ..stored(&output, "por_Latn", "a", b"two") };
    // Killed after staging, and once more after the snapshot has its name.
    output.stage(&manifest_of(&[&new]), "new").expect("staged");
    assert_eq!(seen(folder.path(), "por_Latn"), std::slice::from_ref(&old.name));
    let snapshots = folder.path().join(SNAPSHOTS);
    fs::rename(snapshots.join(".new-00000002"), snapshots.join("00000002")).expect("named");
    fs::write(output.store().join("por_Latn").join(".half.tmp"), "x").expect("written");
    drop(output);

    let output = Output::open(folder.path()).expect("free");
    assert_eq!(seen(folder.path(), "por_Latn"), std::slice::from_ref(&old.name));
    assert_eq!(names(&snapshots).expect("listed"), ["00000001"]);
    assert!(!output.store().join("por_Latn").join(".half.tmp").exists());
    let new = stored(&output, "por_Latn", "a", b"two");
    output.publish(&manifest_of(&[&new]), "new", 2).expect("published");
    assert_eq!(seen(folder.path(), "por_Latn"), [new.name]);
}

#[test]
fn old_snapshots_and_their_parts_are_collected() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Output::open(folder.path()).expect("free");
    let kept = stored(&output, "spa_Latn", "b", b"kept");
    let mut names_seen = Vec::new();
    for i in 0..5_u8 {
        let part = stored(&output, "por_Latn", "a", &[i]);
        output.publish(&manifest_of(&[&part, &kept]), "card", 2).expect("published");
        names_seen.push(part.name);
    }
    assert_eq!(numbers(&folder.path().join(SNAPSHOTS)).expect("listed"), [3, 4, 5]);
    let mut left = names(&output.store().join("por_Latn")).expect("listed");
    let mut wanted = names_seen[2..].to_vec();
    left.sort();
    wanted.sort();
    assert_eq!(left, wanted);
    assert_eq!(seen(folder.path(), "por_Latn"), [names_seen[4].clone()]);
    assert_eq!(seen(folder.path(), "spa_Latn"), [kept.name]);
}

#[test]
fn published_rows_outlive_the_state_and_are_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Output::open(folder.path()).expect("free");
    let part = stored(&output, "por_Latn", "a", b"one");
    output.publish(&manifest_of(&[&part]), "card", 2).expect("published");
    drop(output);
    fs::remove_dir_all(folder.path().join(STATE)).expect("removed");
    assert_eq!(
        fs::read(folder.path().join(CURRENT).join("por_Latn").join(&part.name)).expect("there"),
        b"one"
    );
    let output = Output::open(folder.path()).expect("free");
    let other = stored(&output, "por_Latn", "b", b"two");
    output.publish(&manifest_of(&[&part, &other]), "card", 2).expect("published");
    assert_eq!(seen(folder.path(), "por_Latn").len(), 2);
}

#[test]
fn a_deleted_part_is_put_back_by_the_next_publication() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Output::open(folder.path()).expect("free");
    let part = stored(&output, "por_Latn", "a", b"one");
    output.publish(&manifest_of(&[&part]), "card", 2).expect("published");
    fs::remove_file(folder.path().join(CURRENT).join("por_Latn").join(&part.name)).expect("removed");
    assert!(output.publish(&manifest_of(&[&part]), "card", 2).expect("published").written);
    assert_eq!(seen(folder.path(), "por_Latn"), [part.name]);
}

#[test]
fn where_links_are_refused_files_are_copied() {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::write(&from, "bytes").expect("written");
    bring(&from, &to, |_, _| Err(io::ErrorKind::Unsupported.into())).expect("copied");
    assert_eq!(fs::read(&to).expect("there"), b"bytes");
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join(CURRENT)).expect("made");
    let told = Output::open(folder.path()).expect_err("not ours").to_string();
    assert!(told.contains("remedy="), "{told}");
    assert!(folder.path().join(CURRENT).is_dir());
}
