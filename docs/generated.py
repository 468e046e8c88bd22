"""Pages made from the source when the documentation is built: one per method, one per public module.

Where `docs/methods/NAME.md` exists, it comes first on its method's page.
"""

import ast
import re
from html import unescape
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PACKAGE = Path("src/secateur")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The configuration with every generated page in the navigation."""
    sections = {"methods/index.md": _methods(), "reference/index.md": _public_modules()}
    config.nav = [_with_pages(entry, sections) for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the site with the generated pages among them."""
    for folder, title, about, modules in (
        ("methods", "Methods", METHODS, _methods()),
        ("reference", "Reference", REFERENCE, _public_modules()),
    ):
        rows = [
            f"| [`{module.stem}`]({module.stem}.md) | {_first_sentence(path)} |" for module, path in modules.items()
        ]
        index = "\n".join([f"# {title}", "", about, "", "| | |", "|---|---|", *rows, ""])
        files.append(File.generated(config, f"{folder}/index.md", content=index))
        for module in modules:
            place = f"{folder}/{module.stem}.md"
            files.append(File.generated(config, place, content=_page(module, _written(files, place))))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """The page with formulas as MathML, which browsers draw without a script."""
    html = re.sub(r'<span class="arithmatex">\\\((.*?)\\\)</span>', lambda m: convert(unescape(m[1])), html, flags=re.S)
    return re.sub(
        r'<div class="arithmatex">\\\[(.*?)\\\]</div>',
        lambda m: convert(unescape(m[1]), display="block"),
        html,
        flags=re.S,
    )


def _written(files: Files, place: str) -> str | None:
    """The text that somebody wrote for a generated page, which is taken out of the files; None where nobody has."""
    found = files.get_file_from_path(place)
    if found is None:
        return None
    files.remove(found)
    return found.content_string


def _page(module: Path, written: str | None) -> str:
    """The reference of a module: a page of its own, or the last section of what was written."""
    options = ["show_root_heading: false"] + (["heading_level: 3"] if written else [])
    head = f"{written.rstrip()}\n\n## Reference" if written else f"# {module.stem}"
    return "\n".join([head, "", f"::: {'.'.join(module.parts)}", "    options:", *(f"      {o}" for o in options), ""])


METHODS = """A method scores units or layers, higher is more important; it never chooses, cuts or trains. Each is one
file with its formula, its source and what differs from the paper. Its fields are its settings, as in
`methods.get("dense", measure="weighted")`."""
REFERENCE = "What `import secateur as sc` offers, by the module that defines it."


def _methods() -> dict[Path, Path]:
    """The modules of methods, as dotted parts, and their files."""
    return {_dotted(path): path for path in sorted((PACKAGE / "methods").glob("[!_]*.py"))}


def _public_modules() -> dict[Path, Path]:
    """The modules that the package's own names come from, and their files, in the order of the data."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    names = sorted(
        {
            node.module.split(".")[1]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and "." in str(node.module)
        }
    )
    files = {
        name: next(p for p in (PACKAGE / f"{name}.py", PACKAGE / name / "__init__.py") if p.exists()) for name in names
    }
    return {_dotted(file): file for file in files.values()}


def _dotted(path: Path) -> Path:
    parts = path.relative_to(PACKAGE.parent).with_suffix("")
    return parts.parent if parts.name == "__init__" else parts


def _first_sentence(path: Path) -> str:
    return (
        (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    )


def _with_pages(entry: Any, sections: dict[str, dict[Path, Path]]) -> Any:
    title, page = next(iter(entry.items())) if isinstance(entry, dict) else (None, None)
    if not isinstance(page, str) or page not in sections:
        return entry
    folder = Path(page).parent
    return {title: [page, *(str(folder / f"{module.stem}.md") for module in sections[page])]}
