"""F11: what a file must not do to us, each refused with path, line and key."""

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from batchd_infra.config_nodes import MAX_BYTES, MAX_DEPTH, ConfigError, Mapping, parse

PATH = Path("/etc/batchd/hosts/x.yaml")


def alias_bomb() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(lines).encode()


def merge_bomb() -> bytes:
    lines = ["m0: &m0 {" + ", ".join(f"k{n}: v" for n in range(50)) + "}"]
    lines += [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}" for n in range(1, 10)]
    return "\n".join(lines).encode()


BAD = {
    "alias bomb": (alias_bomb(), 5, "a4", "more than 20000 values"),
    "merge bomb": (merge_bomb(), 4, "", "more than 20000 values"),
    "an alias inside of itself": (b"a: &a\n  - *a\n", 2, "a", "stands inside of what it names"),
    "an alias of nothing": (b"a: 1\nb: *nobody\n", 2, "b", "names nothing"),
    "python object": (b"a: 1\nb: !!python/object/apply:os.system ['true']\n", 2, "b", "tag"),
    "python name": (b"b: !!python/name:os.system\n", 1, "b", "tag"),
    "own tag": (b"b:\n  c: !secret x\n", 2, "b.c", "tag '!secret' is not allowed"),
    "binary": (b"b: !!binary aGVsbG8=\n", 1, "b", "tag"),
    "duplicate keys": (b"name: x\nport: 1\nname: y\n", 3, "name", "the key stands twice, first on line 1"),
    "duplicate keys within": (b"manager:\n  port: 1\n  port: 2\n", 3, "manager.port", "stands twice"),
    "duplicate quoted key": (b"port: 1\n'port': 2\n", 2, "port", "stands twice"),
    "tab": (b"manager:\n\tport: 1\n", 2, "port", "a tab stands where only spaces may indent"),
    "tab in a list": (b"params:\n  - name: x\n\t  title: y\n", 3, "", "a tab stands"),
    "byte order mark": (b"\xef\xbb\xbfname: x\n", 1, "", "byte order mark"),
    "UTF-16": ("name: x\n".encode("utf-16"), 1, "", "byte order mark"),
    "not UTF-8": (b"name: x\ntitle: \xff\n", 2, "", "not UTF-8"),
    "NUL": (b"name: x\ntitle: a\x00b\n", 2, "", "not valid YAML"),
    "5000-digit integer": (b"name: x\nport: " + b"9" * 5000, 2, "port", "at most 100 digits"),
    "5000-digit key": (b"name: x\n? " + b"9" * 5000 + b"\n: 1", 2, "", "at most 100 digits"),
    "deep lists": (b"a: " + b"[" * 5000, 1, "a", f"more than {MAX_DEPTH} deep"),
    "deep mappings": (
        b"\n".join(b" " * n + b"k:" for n in range(600)),
        33,
        "",
        f"more than {MAX_DEPTH} deep",
    ),
    "1 MB": (b"# " + b"x" * 2**20, 1, "", "larger than 256 KiB"),
    "unclosed quote": (b'name: x\ntitle: "abc\nport: 1\n', 4, "", "not valid YAML"),
    "a list": (b"- a\n- b\n", 1, "", "'key: value' lines"),
    "one word": (b"hello\n", 1, "", "'key: value' lines"),
    "two documents": (b"a: 1\n---\nb: 2\n", 2, "", "a second one begins here"),
    "a key that is a list": (b"a: 1\n? [b]\n: 1\n", 2, "", "a key must be a plain word"),
    "merge of a text": (b"a:\n  <<: x\n", 2, "a.<<", "only mappings can be merged"),
}


@pytest.mark.parametrize("case", BAD)
def test_f11_a_bad_file_is_refused_with_path_line_and_key(case: str) -> None:
    data, line, key, message = BAD[case]
    began = time.monotonic()
    with pytest.raises(ConfigError) as refused:
        parse(PATH, data)
    assert time.monotonic() - began < 2
    assert refused.value.line == line
    if key:
        assert refused.value.key == key
    assert message in refused.value.message
    assert str(refused.value).startswith(f"{PATH}:{line}: ")
    assert len(str(refused.value)) < 300


def test_the_text_of_an_error_is_file_line_key_and_sentence() -> None:
    error = ConfigError(PATH, 3, "manager.port", "must be a whole number")
    assert str(error) == "/etc/batchd/hosts/x.yaml:3: manager.port: must be a whole number"


def test_a_scalar_stays_the_text_that_stands_in_the_file() -> None:
    root = parse(PATH, b"a: 22:00:00\nb: 007\nc: yes\nd: 1e3\ne: 2026-11-24\nf: ''\n")
    assert {k: v.text for k, v in root.entries.items()} == {
        "a": "22:00:00", "b": "007", "c": "yes", "d": "1e3", "e": "2026-11-24", "f": "",
    }  # fmt: skip
    assert not root.entries["f"].is_null


@pytest.mark.parametrize("data", [b"", b"# nothing\n", b"---\n", b"~\n"])
def test_an_empty_file_is_an_empty_mapping(data: bytes) -> None:
    assert parse(PATH, data).entries == {}


def test_ordinary_anchors_and_merges_work_as_in_old_files() -> None:
    root = parse(PATH, b"base: &b {x: 1, y: 2}\nother: {<<: *b, y: 3}\nlist: [*b, *b]\n")
    other = root.entries["other"]
    assert isinstance(other, Mapping)
    assert {k: v.text for k, v in other.entries.items()} == {"x": "1", "y": "3"}


def test_the_earlier_of_two_merged_mappings_wins() -> None:
    root = parse(PATH, b"a: &a {x: 1}\nb: &b {x: 2, z: 9}\nc: {<<: [*a, *b]}\n")
    assert {k: v.text for k, v in root.entries["c"].entries.items()} == {"x": "1", "z": "9"}


def test_tabs_inside_of_values_are_allowed() -> None:
    root = parse(PATH, b"template: |\n  if true; then\n  \techo x\n  fi\n")
    assert root.entries["template"].text == "if true; then\n\techo x\nfi\n"


def test_a_file_of_just_the_largest_size_is_read() -> None:
    data = b"a: " + b"x" * (MAX_BYTES - 3)
    assert len(parse(PATH, data).entries["a"].text) == MAX_BYTES - 3


def is_mapping_or_error(data: bytes) -> bool:
    try:
        return isinstance(parse(PATH, data), Mapping)
    except ConfigError as error:
        return error.line >= 1


@given(st.binary(max_size=400))
def test_any_bytes_are_a_mapping_or_a_config_error(data: bytes) -> None:
    assert is_mapping_or_error(data)


@given(st.text(alphabet="ab:-[]{}&*<!|>?'\"# \n\t,%@`~0", max_size=80))
def test_any_text_of_yamls_own_signs_is_a_mapping_or_a_config_error(text: str) -> None:
    assert is_mapping_or_error(text.encode())


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=30), max_size=8))
def test_every_text_that_yaml_can_write_is_read_back(values: dict[str, str]) -> None:
    data = yaml.safe_dump(values).encode("utf-8", "surrogatepass")
    root = parse(PATH, data)
    assert {k: v.text for k, v in root.entries.items()} == values
