"""Every sentence exists in every language, with the same places to fill."""

import ast
import re
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import vidgen
from vidgen.messages import LANGUAGES, message_catalogue, pick, say

SOURCES = sorted(Path(vidgen.__file__).parent.rglob("*.py"))
ERRORS = {"VidgenError", "InputError", "SetupError", "RenderError", "DeviceError", "Cancelled"}
# event class -> which positional argument is the sentence's code
SAYERS = {"Log": 1, "StageStarted": 1, "StageProgress": 4, "StageEnded": 3, "Notes": 1}


@cache
def nodes(source: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(source.read_text("utf-8"))))


def calls() -> Iterator[tuple[Path, ast.Call, str]]:
    for source in SOURCES:
        for node in nodes(source):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                yield source, node, name


def text_of(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((word.value for word in call.keywords if word.arg == name), None)


def places(sentence: str) -> set[str]:
    return {name.split(".")[0] for _, name, _, _ in string.Formatter().parse(sentence) if name}


def error_sites() -> list[tuple[str, str, str, str]]:
    """(where, code, English sentence, English hint) of every raised error with a literal code."""
    return [
        (f"{source.name}:{call.lineno}", code, text_of(call.args[0]) or "", text_of(hint) or "")
        for source, call, name in calls()
        if name in ERRORS and call.args and (code := text_of(keyword(call, "code")))
        for hint in (keyword(call, "hint"),)
    ]


def errors_in_tables() -> set[str]:
    """Every literal that looks like a code: raised errors, and tables of errors."""
    return {
        node.value
        for source in SOURCES
        for node in nodes(source)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", node.value)
    }


def spoken_codes() -> list[tuple[str, str]]:
    """(where, code) of every event that says a sentence by a literal code."""
    found = []
    for source, call, name in calls():
        if name in SAYERS:
            at = SAYERS[name]
            node = call.args[at] if len(call.args) > at else keyword(call, "code")
            code = text_of(node)
            if code:
                found.append((f"{source.name}:{call.lineno}", code))
    return found


def test_the_languages_have_the_same_sentences() -> None:
    english = set(message_catalogue("en"))
    allowed = errors_in_tables() | {f"{code}_hint" for code in errors_in_tables()}
    for language in LANGUAGES[1:]:
        theirs = set(message_catalogue(language))
        assert english - theirs == set(), f"missing in {language}"
        over = {code for code in theirs - english - allowed if not code.startswith("reason.")}
        assert over == set(), f"left over in {language}"


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_a_sentence_has_the_same_places_in_every_language(language: str) -> None:
    theirs = message_catalogue(language)
    wrong = [
        code
        for code, sentence in message_catalogue("en").items()
        if code in theirs and places(theirs[code]) != places(sentence)
    ]
    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_an_error_tells_the_same_values_in_every_language(language: str) -> None:
    theirs = message_catalogue(language)
    wrong = [
        (where, code)
        for where, code, sentence, hint in error_sites()
        for key, english in ((code, sentence), (f"{code}_hint", hint))
        if english and key in theirs and places(theirs[key]) != places(english)
    ]
    assert wrong == []


@pytest.mark.parametrize(("language", "signs"), [("ja", ":()?!"), ("zh", ",;:()?!")])
def test_signs_are_as_wide_as_the_letters_beside_them(language: str, signs: str) -> None:
    letters = "\u3040-\u30ff\u4e00-\u9fff"
    narrow = re.compile(rf"[{letters}}}][{signs}]|[{signs}]\s?[{letters}]")
    wrong = [
        code
        for code, sentence in message_catalogue(language).items()
        if narrow.search(re.sub(r"\{(\w+):[^}]*\}|`[^`]*`", r"{\1}", sentence))
    ]
    assert wrong == []


def test_every_code_that_is_said_has_a_sentence() -> None:
    missing = [
        (where, code) for where, code in spoken_codes() if code not in message_catalogue("en")
    ]
    assert missing == []


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_error_can_be_told_in_every_language(language: str) -> None:
    theirs = message_catalogue(language)
    sites = error_sites()
    assert len(sites) > 30
    missing = [(where, code) for where, code, _, _ in sites if code not in theirs]
    missing += [
        (where, code + "_hint")
        for where, code, _, hint in sites
        if hint and f"{code}_hint" not in theirs
    ]
    assert missing == []


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_a_translated_error_asks_for_no_value_that_is_not_there(language: str) -> None:
    theirs = message_catalogue(language)
    wrong = []
    for source, call, name in calls():
        code = text_of(keyword(call, "code"))
        if name not in ERRORS or not code or any(word.arg is None for word in call.keywords):
            continue
        given = {word.arg for word in call.keywords}
        asked = places(theirs.get(code, ""))
        if keyword(call, "hint"):
            asked |= places(theirs.get(f"{code}_hint", ""))
        if asked - given:
            wrong.append((f"{source.name}:{call.lineno}", code, sorted(asked - given)))
    assert wrong == []


def test_a_sentence_is_filled_and_falls_back_to_english() -> None:
    assert say("stage.rendering", language="ja") == message_catalogue("ja")["stage.rendering"]
    assert say("no.such_code") == "no.such_code"
    assert say("no.such_code", otherwise="As it was said.") == "As it was said."


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_what_the_system_says_is_told_in_the_readers_language(language: str) -> None:
    theirs = message_catalogue(language)
    phrases = [code for code in theirs if code.startswith("reason.")]
    assert phrases == [code for code in message_catalogue("ja") if code.startswith("reason.")]
    values = {"url": "http://x", "reason": "Connection refused"}
    assert "Connection" not in say("input.url", values, language)
    assert theirs["reason.Connection refused"] in say("input.url", values, language)
    strange = say("input.url", {**values, "reason": "a new one"}, language)
    assert "a new one" in strange


@pytest.mark.parametrize(
    ("total", "words"),
    [(1, "1 film, 0 there"), (2, "2 films, 0 there"), (0, "0 films, 0 there"), ("1", "{total:")],
)
def test_a_count_takes_the_word_that_fits(total: object, words: str) -> None:
    assert say("batch.opening", {"total": total, "there": 0, "left": 1}).startswith(words)


@pytest.mark.parametrize(
    ("wanted", "environ", "language"),
    [
        (None, {}, "en"),
        ("ja", {"LANG": "zh_CN.UTF-8"}, "ja"),
        (None, {"LANG": "zh_CN.UTF-8"}, "zh"),
        (None, {"LC_ALL": "ja_JP", "LANG": "zh_CN.UTF-8"}, "ja"),
        (None, {"LANG": "C.UTF-8"}, "en"),
        ("de", {}, "en"),
    ],
)
def test_the_language_is_the_one_asked_for_or_the_systems(
    wanted: str | None, environ: dict[str, str], language: str
) -> None:
    assert pick(wanted, environ) == language
