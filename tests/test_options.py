"""Flags and YAML keys of a command come from its dataclass, and say the same."""

from __future__ import annotations

import dataclasses
import types
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_ocr.cli.options import POSITIONAL, parse_options
from deepseek_ocr.errors import EXIT_USAGE, UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    data_root: Annotated[Path, "folder of the pictures"]
    batch_size: Annotated[int, "rows a step"] = 2
    lr: Annotated[float, "peak learning rate"] = 2e-5
    prompt: Annotated[str, "100% literal"] = "<image>\nRead."
    tune: Annotated[Literal["full", "lora"], "what trains"] = "full"
    max_steps: Annotated[int | None, "stop early"] = None
    val_file: Annotated[Path | None, "validation rows"] = None
    packing: Annotated[bool, "several samples a row"] = False
    guard: Annotated[bool, "stop loops"] = True
    kinds: Annotated[tuple[str, ...], "kinds of pages"] = ("letters", "receipts")
    sizes: Annotated[tuple[int, ...], "sides"] = (640,)
    rates: Annotated[tuple[str, ...] | None, "of parts", "PART=NUMBER"] = None
    pair: Annotated[tuple[float, ...] | None, "first and last", "A [B]"] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    folder: Annotated[Path, "where to look"] = dataclasses.field(metadata=POSITIONAL)
    limit: Annotated[int, "at most so many"] = 9


ROOT = ["--data_root", "pages"]


def parse(*argv: str) -> Settings:
    return parse_options(Settings, argv, prog="tool", description="A tool.")


def refused(*argv: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(*argv)
    assert caught.value.exit_code == EXIT_USAGE
    return str(caught.value)


@pytest.fixture
def config(tmp_path):
    """YAML text -> the flags that name a file of it."""

    def write(text: str) -> list[str]:
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return ["--config", str(path)]

    return write


def test_without_flags_the_defaults_are_the_dataclasss():
    assert parse(*ROOT) == Settings(data_root=Path("pages"))


def test_every_type_of_field_is_read():
    found = parse(
        "--data_root", "a b", "--batch_size", "4", "--lr", "1e-3", "--prompt", "x", "--tune",
        "lora", "--max_steps", "7", "--val_file", "v.json", "--packing", "--no_guard", "--kinds",
        "letters", "tables", "--sizes", "512", "640",
    )  # fmt: skip
    assert found == Settings(
        data_root=Path("a b"), batch_size=4, lr=1e-3, prompt="x", tune="lora", max_steps=7,
        val_file=Path("v.json"), packing=True, guard=False, kinds=("letters", "tables"),
        sizes=(512, 640),
    )  # fmt: skip


@pytest.mark.parametrize("flags", [["--batch-size", "5"], ["--batch_size=5"], ["--batch-size=5"], ["--no-guard", "--batch_size", "5"]])  # fmt: skip
def test_flags_accept_both_spellings(flags):
    assert parse("--data-root", "pages", *flags).batch_size == 5


def test_a_value_keeps_its_hyphens():
    found = parse(*ROOT, "--prompt=--data-root is no flag here", "--val_file", "my-val.json")
    assert found.prompt == "--data-root is no flag here"
    assert found.val_file == Path("my-val.json")


@pytest.mark.parametrize("flags, value", [(["--guard"], True), (["--no_guard"], False), (["--no_guard", "--guard"], True), ([], True)])  # fmt: skip
def test_a_switch_turns_on_and_off_and_the_last_one_counts(flags, value):
    assert parse(*ROOT, *flags).guard is value


@pytest.mark.parametrize(
    "argv, parts",
    [
        (["--batch_sise", "3"], ["unknown flag --batch_sise", "did you mean --batch_size?"]),
        (["--batch", "3"], ["unknown flag --batch", "did you mean --batch_size?"]),
        (["--val-fil=x"], ["unknown flag --val-fil;", "did you mean --val_file?"]),
        (["--zzzzzzzz"], ["unknown flag --zzzzzzzz; see tool --help"]),
        (["--learning_rate", "1"], ["unknown flag --learning_rate; did you mean --lr?"]),
        (["--learning-rate=1"], ["unknown flag --learning-rate; did you mean --lr?"]),
        (["--max_stesp", "1"], ["did you mean --max_steps?"]),
        (["--data", "x"], ["did you mean --data_root?"]),
        (["--logging_steps", "9"], ["unknown flag --logging_steps; see tool --help"]),
        (["--use_lora"], ["did you mean --tune lora?"]),
        (["--per_device_train_batch_size", "1"], ["did you mean --batch_size?"]),
        (["--packing", "true"], ["--packing takes no value; write --packing or --no_packing"]),
        (["--packing=true"], ["--packing takes no value"]),
        (["--no-guard=1"], ["--no_guard takes no value; write --guard or --no_guard"]),
        (["--debug=1"], ["--debug takes no value"]),
        (["stray"], ["'stray' stands where nothing is expected"]),
        (["--no_lr"], ["unknown flag --no_lr", "did you mean --lr?"]),
        (["--no_batch_size=3"], ["unknown flag --no_batch_size", "did you mean --batch_size?"]),
        (["--no-val-file"], ["unknown flag --no-val-file", "did you mean --val_file?"]),
        (["--batch_size", "two"], ["--batch_size", "'two'", "tool --help"]),
        (["--batch_size", "2.5"], ["--batch_size", "2.5"]),
        (["--tune", "all"], ["--tune", "'all'", "full", "lora"]),
        (["--lr"], ["--lr", "expected one argument"]),
    ],
)
def test_a_flag_that_cannot_be_read_names_what_was_meant(argv, parts):
    message = refused(*ROOT, *argv)
    for part in parts:
        assert part in message
    assert "\n" not in message


def test_a_required_flag_that_is_missing_is_named():
    assert refused() == "missing: --data_root; see tool --help"


def test_help_shows_every_flag_with_its_default(capsys):
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "A tool." in text
    assert "rows a step (2)" in text
    assert r"100% literal ('<image>\nRead.')" in text
    assert "--no_guard" in text
    assert "--packing" in text
    for field in dataclasses.fields(Settings):
        assert field.name in text
    assert "--no_guard do not stop loops --" in text
    assert "--rates PART=NUMBER [PART=NUMBER ...] of parts --" in text
    assert "[--pair A [B]]" in text and "--pair A [B] first and last" in text
    assert "--sizes INT [INT ...] sides (640)" in text
    assert "--kinds STR [STR ...] kinds of pages (letters receipts)" in text


def test_a_command_may_refuse_flags_for_being_given_and_not_keys_of_the_file(config):
    seen = []

    def check(settings, flags):
        seen.append((settings.batch_size, set(flags)))

    argv = [*ROOT, *config("batch_size: 3\nlr: 1\n"), "--lr", "2e-5", "--no_guard"]
    parse_options(Settings, argv, prog="tool", description="", check_given=check)
    assert seen == [(3, {"data_root", "lr", "guard"})]


# --- YAML ---------------------------------------------------------------------------------------


def test_yaml_keys_are_the_flags(config):
    flags = config(
        "data-root: pages\nbatch_size: 4\nlr: 1e-3\ntune: lora\nmax_steps: 7\nval_file: v.json\n"
        "packing: true\nguard: false\nkinds: [letters, tables]\nsizes: 512\nprompt: 'a: b'\n"
    )
    assert parse(*flags) == Settings(
        data_root=Path("pages"), batch_size=4, lr=1e-3, prompt="a: b", tune="lora", max_steps=7,
        val_file=Path("v.json"), packing=True, guard=False, kinds=("letters", "tables"),
        sizes=(512,),
    )  # fmt: skip


def test_flags_beat_yaml_which_beats_the_defaults(config):
    flags = config("data_root: pages\nbatch_size: 4\nguard: false\nlr: 1\n")
    found = parse(*flags, "--batch_size", "8", "--guard")
    assert (found.batch_size, found.guard, found.lr, found.tune) == (8, True, 1.0, "full")


values = st.fixed_dictionaries(
    {"data_root": st.from_regex(r"[a-z/]{1,9}", fullmatch=True)},
    optional={
        "batch_size": st.integers(-5, 10**9),
        "lr": st.floats(allow_nan=False),
        "prompt": st.text(st.characters(exclude_categories=["C", "Z"])).filter(lambda t: t[:1] != "-"),
        "tune": st.sampled_from(["full", "lora"]),
        "max_steps": st.integers(0, 99),
        "kinds": st.lists(st.sampled_from(["letters", "lines"]), min_size=1, max_size=3),
        "sizes": st.lists(st.integers(1, 2000), min_size=1, max_size=3),
    },
)  # fmt: skip


@settings(deadline=None)
@given(values=values, hyphens=st.booleans())
def test_flags_and_yaml_give_the_same_settings(values, hyphens, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "same.yaml"
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    argv = []
    for name, value in values.items():
        flag = "--" + (name.replace("_", "-") if hyphens else name)
        argv += [flag, *map(str, value)] if isinstance(value, list) else [f"{flag}={value}"]
    found = parse(*argv)
    assert found == parse("--config", str(path))
    for name, value in values.items():
        expected = tuple(value) if isinstance(value, list) else value
        assert getattr(found, name) == (Path(expected) if name == "data_root" else expected)


@pytest.mark.parametrize(
    "text, parts",
    [
        ("batch_sise: 3", ["unknown key batch_sise", "did you mean batch_size?"]),
        ("batch_size: two", ["batch_size: expected int, found 'two'"]),
        ("batch_size: 2.5", ["batch_size: expected int, found 2.5"]),
        ("batch_size: true", ["batch_size: expected int, found True"]),
        ("batch_size: [1, 2]", ["batch_size: expected int, found [1, 2]"]),
        ("batch_size:", ["batch_size: expected int, found None"]),
        ("lr: fast", ["lr: expected float, found 'fast'"]),
        ("guard: 1", ["guard: expected true or false, found 1"]),
        ("guard: 'no'", ["guard: expected true or false, found 'no'"]),
        ("tune: all", ["tune: expected full, lora, found 'all'"]),
        ("sizes: [640, big]", ["sizes: expected int, found 'big'"]),
        ("- a\n- b", ["expected `flag: value` lines, found list"]),
        ("", ["expected `flag: value` lines, found NoneType"]),
        ("a: [1", ["not valid YAML"]),
        ("a: b\nc: d: e", [":2: not valid YAML"]),
        ("lr: 1\n\nbatch_size: 2\nlr: 2", [":4: lr stands already in line 1"]),
        ("batch_size: 1\nbatch-size: 2", [":2: batch-size stands already in line 1"]),
        ("lr: 1\nno_guard: true", [":2: unknown key no_guard; write guard: false"]),
        ("lr: 1\nlearning_rate: 1", [":2: unknown key learning_rate; did you mean lr?"]),
        ("load_in_4bit: true", ["unknown key load_in_4bit; did you mean tune: qlora?"]),
        ("zzzz: 1", ["unknown key zzzz; see tool --help"]),
        ("2024-99-99: 1", ["not valid YAML"]),
        ("a: !!python/object/apply:os.getcwd []", ["not valid YAML"]),
    ],
)
def test_a_yaml_file_that_cannot_be_read_names_file_and_key(config, text, parts):
    flags = config(text)
    message = refused(*ROOT, *flags)
    assert message.startswith(flags[1])
    for part in parts:
        assert part in message


def test_null_is_none_where_none_is_allowed(config):
    found = parse(*ROOT, *config("max_steps: null\nval_file:\n"))
    assert found.max_steps is None
    assert found.val_file is None


def test_a_number_may_name_a_path_or_be_a_text(config):
    found = parse(*config("data_root: 2024\nprompt: 7\n"))
    assert found.data_root == Path("2024")
    assert found.prompt == "7"


def test_a_yaml_file_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "none.yaml"
    assert refused(*ROOT, "--config", str(path)).startswith(f"{path}: cannot be read (No such file")


# --- positional ---------------------------------------------------------------------------------


def parse_inputs(*argv: str) -> Inputs:
    return parse_options(Inputs, argv, prog="tool", description="A tool.")


def test_a_positional_field_is_given_by_place(config):
    assert parse_inputs("there", "--limit", "2") == Inputs(folder=Path("there"), limit=2)
    assert parse_inputs("--limit", "2", "there") == Inputs(folder=Path("there"), limit=2)


def test_what_stands_by_place_is_told_apart_from_flags():
    for argv, reason in (
        (("here", "there"), "'there' stands where nothing is expected"),
        (("here", "--folder", "there"), "unknown flag --folder; give FOLDER by its place"),
        (("here", "--zzz"), "unknown flag --zzz; see tool --help"),
    ):
        with pytest.raises(UsageError) as caught:
            parse_inputs(*argv)
        assert str(caught.value).startswith(reason)
        assert "--folder," not in str(caught.value)


def test_a_positional_field_that_is_missing_is_named():
    with pytest.raises(UsageError, match="FOLDER"):
        parse_inputs("--limit", "2")


def test_an_unknown_flag_is_named_before_what_is_missing():
    with pytest.raises(UsageError, match="unknown flag --limt; did you mean --limit"):
        parse_inputs("--limt", "2")
    assert refused("--batch_sise=2").startswith("unknown flag --batch_sise;")


def test_the_command_line_of_the_process_is_the_default(monkeypatch):
    monkeypatch.setattr("deepseek_ocr.cli.options.sys", types.SimpleNamespace(argv=["tool", "x"]))
    assert parse_options(Inputs, None, prog="tool", description="").folder == Path("x")


def test_an_empty_path_is_wrong_usage_and_not_the_current_folder():
    from deepseek_ocr.data.splitting.plan import SplitConfig

    with pytest.raises(UsageError, match="--output_dir: is empty; expected a path"):
        parse_options(
            SplitConfig, ["--data_root", "x", "--output_dir", ""], prog="p", description="d"
        )
