"""Is every weight of a checkpoint where its consumer will look for it?

    import wreg
    wreg.ingest("./hunyuan")
    for row in wreg.query("missing *", model="hunyuan"):
        print(row["path"], row["reason"])
    wreg.query("find * where nans > 0", model="hunyuan").df()
    wreg.export("hunyuan", out="./hunyuan-mlx")

Every function runs the wreg binary of this package once and reads what --json prints. What wreg
says in sentences is in an error's text. More flags of a verb are keywords: q_bits=8 is --q-bits=8.
registry= is the registry's file; without it $WREG_REGISTRY counts, as for the command."""
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Sequence, Union

if TYPE_CHECKING:
    import pandas
    import pyarrow

__all__ = ["BINARY", "Error", "Gaps", "Rows", "export", "ingest", "lint", "plan", "query", "run"]

BINARY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "wreg.exe" if os.name == "nt" else "wreg")

Path = Union[str, "os.PathLike[str]"]
Flag = Union[None, bool, int, str, "os.PathLike[str]", Sequence[str]]


class Error(Exception):
    """wreg could not do what was asked; the text is what it said."""

    def __init__(self, said: str, status: int) -> None:
        super().__init__(said)
        self.status = status


class Gaps(Error):
    """An export was refused because weights are missing, extra or not as expected: rows has
    what `gaps` answers of the model."""

    def __init__(self, said: str, status: int, rows: Rows) -> None:
        super().__init__(said, status)
        self.rows = rows


class Rows(list):  # type: ignore[type-arg]
    """Rows as dicts. columns are their keys in order, also where there is no row; about is what
    the answer says of itself (the query, the model), findings whether wreg ended with status 1."""

    columns: list[str]
    about: dict[str, Any]
    findings: bool

    def __init__(self, answer: dict[str, Any], findings: bool = False) -> None:
        super().__init__(answer.pop("rows", []))
        self.columns = answer.pop("columns", [])
        self.about = answer
        self.findings = findings

    def df(self) -> pandas.DataFrame:
        """The rows as a pandas.DataFrame."""
        import pandas
        return pandas.DataFrame(list(self), columns=self.columns)

    def arrow(self) -> pyarrow.Table:
        """The rows as a pyarrow.Table."""
        import pyarrow
        return pyarrow.table({c: [row[c] for row in self] for c in self.columns})


def query(text: str, model: str | None = None, *, registry: Path | None = None, **flags: Flag) -> Rows:
    """Answers a query, as `wreg query TEXT` does."""
    return _rows("query", text, model=model, registry=registry, **flags)


def ingest(path: Path, name: str | None = None, *, registry: Path | None = None, **flags: Flag) -> Rows:
    """Reads a checkpoint into the registry; findings says whether it is registered with findings."""
    return _rows("ingest", path, name=name, registry=registry, **flags)


def lint(path: Path, **flags: Flag) -> Rows:
    """What other readers would do differently with a checkpoint."""
    return _rows("lint", path, **flags)


def plan(model: Path, out: Path, target: str = "mlx", *, registry: Path | None = None, **flags: Flag) -> Rows:
    """What export with the same arguments would write. With a gap it raises Gaps."""
    return _rows("export", model, out=out, target=target, registry=registry, dry_run=True, **flags)


def export(model: Path, out: Path, target: str = "mlx", *, registry: Path | None = None, **flags: Flag) -> dict[str, Any]:
    """Writes the checkpoint that a consumer needs into the folder out, and proves it; gives what was
    written, and the model that it is registered as. With a gap it raises Gaps."""
    return _rows("export", model, out=out, target=target, registry=registry, **flags).about


def run(verb: str, *words: Path, **flags: Flag) -> tuple[int, str]:
    """Runs any verb; gives its exit status, 0 or 1 (findings), and what it printed. Status 2 raises Error."""
    import subprocess
    argv = [BINARY, verb]
    for name, value in flags.items():
        name = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            argv.append(f"{name}={str(value).lower()}")
        elif isinstance(value, (str, int, os.PathLike)):
            argv.append(f"{name}={os.fspath(value) if not isinstance(value, int) else value}")
        elif value is not None:
            argv += [f"{name}={v}" for v in value]
    p = subprocess.run([*argv, "--", *map(os.fspath, words)], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8")
    if p.returncode not in (0, 1):
        raise _error(verb, p.returncode, p.stderr.strip())
    return p.returncode, p.stdout


def _error(verb: str, status: int, said: str) -> Error:
    """Under --json the last line of stderr is what went wrong, as JSON."""
    import json
    last = said.rpartition("\n")[2]
    if not last.startswith('{"error":'):
        return Error(said.removeprefix("wreg: ") or f"wreg {verb} ended with status {status}", status)
    answer = json.loads(last)
    if "gaps" not in answer:
        return Error(answer["error"], status)
    gaps = answer["gaps"]
    return Gaps(answer["error"], status, Rows({"columns": list(gaps[0]) if gaps else [], "rows": gaps}))


def _rows(verb: str, *words: Path, **flags: Flag) -> Rows:
    import json
    status, out = run(verb, *words, **flags, json=True)
    return Rows(json.loads(out) if out else {}, findings=status == 1)
