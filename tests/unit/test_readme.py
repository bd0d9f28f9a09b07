"""The documentation mentions only what exists, and everything that users need."""

import re
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest

from experiment_features.command_line import main
from experiment_features.rules.rules import RULES

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
SETTINGS = ROOT / "docs" / "settings.md"
DOCUMENTS = sorted([README, ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])
FOLDERS = sorted(
    path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in (".git", ".local")
)
SETTING = re.compile(r"\b(?:EXPERIMENT_FEATURES|AIRFLOW|DATABASE)_[A-Z_]*[A-Z]\b")
NOT_FOR_USERS = {  # what the scripts pass to each other
    *("EXPERIMENT_FEATURES_CLOCK", "EXPERIMENT_FEATURES_STACK", "EXPERIMENT_FEATURES_COMPONENT"),
    "EXPERIMENT_FEATURES_COMMIT",
    *("AIRFLOW_HOME", "AIRFLOW_CONFIG", "AIRFLOW_CONN_FEATURES_DB"),
    *("AIRFLOW_CONN_FEATURES_DB_READER", "AIRFLOW_CONN_FEATURES_DB_STEWARD"),
}
TOOLS = {
    *(
        "base64",
        "cat",
        "cp",
        "curl",
        "date",
        "docker",
        "du",
        "export",
        "git",
        "head",
        "install",
        "kill",
        "mkdir",
        "nohup",
        "printf",
        "rsync",
        "touch",
    ),
    *("readlink", "rm", "sed", "tr", "umask"),
}
OF_USERS = (".local/", ".secrets/", ".venv/", "drops/")  # what is not in the repository

by_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS]
)


@cache
def text_of(path: Path) -> str:
    """Return the text of a file."""
    return path.read_text()


def blocks(document: Path, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(document), re.DOTALL | re.MULTILINE)


def commands(document: Path) -> list[list[str]]:
    """Return the words of every command in the shell blocks, without variable assignments."""
    text = "".join(blocks(document, "bash")).replace("\\\n", " ")
    lines = re.sub(r'"[^"]*"', lambda quoted: quoted[0].replace("\n", " "), text).splitlines()
    parts = [
        part for line in lines for part in re.split(r"(?<!\|)\| |\$\(", re.sub("  +#.*", "", line))
    ]
    words = [re.sub(r'^\s*([A-Z_]+=("[^"]*"|\S*)\s*)*', "", part).split() for part in parts]
    return [command for command in words if command]


def anchor(heading: str) -> str:
    """Return the anchor that GitHub generates for a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@by_document
def test_links_resolve(document: Path) -> None:
    """Every relative link leads to an existing file and, with an anchor, to a heading in it."""
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        if link.startswith("https://"):
            continue
        name, _, fragment = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if fragment:
            headings = re.findall(r"^#+ (.+)$", text_of(target), re.MULTILINE)
            assert fragment in map(anchor, headings), link


@by_document
def test_named_files_exist(document: Path) -> None:
    """Whatever looks like a path in the project exists; `*` stands for any name."""
    folders = "|".join(map(re.escape, FOLDERS))
    for path in re.findall(rf"(?<![\w/.])(?:{folders})/[\w./*-]*", text_of(document)):
        if not path.startswith(OF_USERS):
            assert list(ROOT.glob(path.rstrip("./"))), path


@by_document
def test_commands_exist(document: Path) -> None:
    """Every command is a script of the project, its Python, or a common tool."""
    for words in commands(document):
        program = words[0].removeprefix("./")
        if program not in TOOLS and program != ".venv/bin/python":
            assert (ROOT / program).stat().st_mode & 0o111, words


@by_document
def test_command_line_options_exist(document: Path) -> None:
    """The command line has every subcommand and option in the documentation."""
    for words in commands(document):
        if words[0] == "scripts/features.sh":
            command, *rest = words[1:]
            usage = help_of(command)
            for option in (word for word in rest if word.startswith("--")):
                assert option in usage, words


@cache
def help_of(command: str) -> str:
    """Return the help text of a command."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.setenv("COLUMNS", "100")
        with pytest.raises(SystemExit):
            main([command, "--help"])
    return printed.getvalue()


def test_every_setting_is_described() -> None:
    """docs/settings.md lists exactly the variables that the code reads."""
    code = [*ROOT.glob("scripts/*"), *ROOT.glob("include/experiment_features/**/*.py")]
    read = {
        name
        for path in code
        if path.is_file() and path.name != "write_docs.py"
        for name in SETTING.findall(text_of(path))
        if "__" not in name
    }
    tables = re.findall(r"^\| `(\w+)` \|", text_of(SETTINGS), re.MULTILINE)
    described = {name for name in tables if SETTING.fullmatch(name)}
    assert described == read - NOT_FOR_USERS


def test_every_setting_of_the_containers_is_described() -> None:
    """docs/deployment.md or docs/settings.md lists every variable in the Compose files."""
    files = [ROOT / "docker-compose.yaml", *(ROOT / "deploy").glob("*.yaml")]
    read = {name for file in files for name in re.findall(r"\$\{(\w+)", text_of(file))}
    pages = text_of(ROOT / "docs" / "deployment.md") + text_of(SETTINGS)
    assert not {name for name in read if f"`{name}`" not in pages and f"`{name}=" not in pages}
    assert read


@by_document
def test_rules_exist(document: Path) -> None:
    """Every rule that the documentation mentions is part of the contract."""
    endings = "missing|invalid|repeated|unknown|out_of_range|in_future|fields|quotes|nul_byte"
    names = {rule.name for rule in RULES}
    for name in re.findall(rf"`([a-z_]+_(?:{endings}))`", text_of(document)):
        assert name in names, name
