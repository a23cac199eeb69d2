"""Opens an output with the libraries that people use, and compares what they see with its manifest.

usage: python tests/readers.py OUTPUT      (packages: pip install -r tests/requirements.txt)
"""

import json
import sys
from pathlib import Path

import datasets
import duckdb
import polars
import pyarrow.dataset
import pyarrow.parquet
import yaml

COLUMNS = [
    "id", "lang", "messages", "instruction", "response", "instruction_en", "response_en", "score", "cell",
    "shard", "row", "spans", "source_id", "url", "license", "versions",
]  # fmt: skip


def check(holds, what):
    if not holds:
        raise SystemExit(f"readers: {what}")


def check_rows(library, lang, names, rows, count):
    """Rows are dictionaries, in the order in which the library gave them."""
    check(list(names) == COLUMNS, f"{library} {lang}: columns {list(names)}")
    check(len(rows) == count, f"{library} {lang}: {len(rows)} rows, the manifest says {count}")
    for row in rows:
        turns = [(turn["role"], turn["content"]) for turn in row["messages"]]
        wanted = [("user", row["instruction"]), ("assistant", row["response"])]
        check(turns == wanted, f"{library} {lang}: messages of {row['id']}")
        check(row["lang"] == lang and len(row["id"]) == 32, f"{library} {lang}: id or lang of {row['id']}")
        check(all(value is not None for value in row.values()), f"{library} {lang}: a null in {row['id']}")
        check(all(0 <= span["start"] < span["end"] for span in row["spans"]), f"{library}: spans of {row['id']}")
        check(isinstance(row["score"], float), f"{library}: score of {row['id']}")
        check(set(row["versions"]) >= {"translate", "prompts", "schema"}, f"{library}: versions of {row['id']}")


def check_lang(current, lang, count):
    glob = str(current / lang / "*.parquet")
    table = pyarrow.dataset.dataset(current / lang, format="parquet").to_table()
    rows = table.to_pylist()
    check_rows("pyarrow", lang, table.column_names, rows, count)
    for path in sorted((current / lang).glob("*.parquet")):
        facts = pyarrow.parquet.read_schema(path).metadata
        check(facts[b"isogloss.schema"] == b"1" and len(facts[b"isogloss.settings"]) == 32, f"metadata of {path}")
        places = [(r["row"], r["spans"][0]["start"]) for r in pyarrow.parquet.read_table(path).to_pylist()]
        check(places == sorted(set(places)), f"order of {path}")

    frame = polars.read_parquet(glob)
    check_rows("polars", lang, frame.columns, frame.to_dicts(), count)

    found = duckdb.sql("select * from read_parquet($glob)", params={"glob": glob})
    values = [dict(zip(found.columns, row)) for row in found.fetchall()]
    check_rows("duckdb", lang, found.columns, values, count)

    loaded = datasets.load_dataset(str(current), lang, split="train")
    check_rows("datasets", lang, loaded.column_names, list(loaded), count)
    ids = sorted(row["id"] for row in rows)
    check(len(set(ids)) == len(ids), f"{lang}: an id stands twice")
    for library, there in (("polars", frame.to_dicts()), ("duckdb", values), ("datasets", loaded)):
        check(sorted(row["id"] for row in there) == ids, f"{library} {lang}: other rows than pyarrow")


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    current = Path(sys.argv[1]) / "current"
    manifest = json.loads((current / "manifest.json").read_text())
    counts = {}
    for part in manifest["parts"]:
        if part["rows"]:
            counts[part["lang"]] = counts.get(part["lang"], 0) + part["rows"]
    check(counts, "the output has no rows")

    front = yaml.safe_load((current / "README.md").read_text().split("---\n")[1])
    check([config["config_name"] for config in front["configs"]] == sorted(counts), "configs of the card")
    check(sum(bool(config.get("default")) for config in front["configs"]) == 1, "one config is the default")
    check(all(isinstance(code, str) for code in front["language"]), "languages of the card")
    check(sorted(datasets.get_dataset_config_names(str(current))) == sorted(counts), "configs that datasets sees")
    check(datasets.load_dataset(str(current), split="train").num_rows == max(counts.values()), "default config")

    for lang, count in sorted(counts.items()):
        check_lang(current, lang, count)
    every = str(current / "???_????" / "*.parquet")
    ((total,),) = duckdb.sql("select count(*) from read_parquet($glob)", params={"glob": every}).fetchall()
    check(total == sum(counts.values()), f"duckdb sees {total} rows over all langs")
    audited = sum(file["rows"] for file in manifest["audit"])
    if audited:
        table = pyarrow.dataset.dataset(str(current / "_audit"), format="parquet").to_table()
        check(table.num_rows == audited, "rows of the audit")
    print(f"readers: pyarrow, polars, duckdb and datasets agree on {sum(counts.values())} rows in {len(counts)} langs")


if __name__ == "__main__":
    main()
