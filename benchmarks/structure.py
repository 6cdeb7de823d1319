"""Size and structure of the package: modules, functions, comments, import cycles, options."""

from __future__ import annotations

import argparse
import ast
import io
import json
import statistics
import tokenize
from pathlib import Path


def functions_of(tree: ast.Module) -> list[int]:
    """Returns the length of each function's body in lines, without its docstring."""
    lengths = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lengths.append((body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0)
    return lengths


def comments_of(text: str) -> int:
    """Returns the number of lines with a comment."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type == tokenize.COMMENT for token in tokens)


def imports_of(tree: ast.Module, package: str) -> set[str]:
    """Returns the first two parts of each import from the package."""
    return {
        node.module.split(".")[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}.")
    }


def measure(package: Path) -> dict[str, object]:
    """Returns the measurements of the package in this folder."""
    paths = sorted(package.rglob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in paths]
    trees = [ast.parse(text) for text in texts]
    lines = [len(text.splitlines()) for text in texts]
    lengths = [length for tree in trees for length in functions_of(tree)]
    top = {path.relative_to(package).parts[0].removesuffix(".py") for path in paths}
    arrows = {
        (path.relative_to(package).parts[0].removesuffix(".py"), other)
        for path, tree in zip(paths, trees, strict=True)
        for other in imports_of(tree, package.name)
    }
    names = [node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {
        "lines": sum(lines),
        "modules": len(paths),
        "median module": statistics.median(lines),
        "largest module": max(zip(lines, map(str, paths), strict=True)),
        "functions": len(lengths),
        "median function": statistics.median(lengths),
        "functions over 50 lines, %": round(100 * sum(n > 50 for n in lengths) / len(lengths), 2),
        "comments per 100 lines": round(100 * sum(map(comments_of, texts)) / sum(lines), 2),
        "packages and modules at the top": len(top - {"__init__", "__main__"}),
        "arrows between them": sum(one != other for one, other in arrows),
        "modules under 60 lines": sum(
            n < 60 for n, p in zip(lines, paths, strict=True) if p.stem != "__init__"
        ),
        "class names with several meanings": sorted({n for n in names if names.count(n) > 1}),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, nargs="?", default=Path("fer_mlops"))
    print(json.dumps(measure(parser.parse_args().package), indent=1))
