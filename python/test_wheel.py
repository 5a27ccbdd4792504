"""What a new user does, with nothing but Python: installs the wheel, runs the demo, asks a query.

    WREG=bin/wreg python -B -m unittest discover -s python

Pip has no index here: a wheel that needs something else fails."""
import csv
import hashlib
import base64
import io
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import types
import unittest
import venv
import zipfile

import dist
import wheels

MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64", "ARM64": "arm64"}


class Wheel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="wreg-wheel-")
        cls.addClassCleanup(folder.cleanup)
        cls.dir = pathlib.Path(folder.name)
        cls.wheel = wheels.make(cls.dir, os.environ["WREG"], platform.system().lower(), MACHINES[platform.machine()])
        venv.create(cls.dir / "venv", with_pip=True)
        cls.bin = cls.dir / "venv" / ("Scripts" if os.name == "nt" else "bin")
        cls.env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "WREG")}
        cls.env["WREG_REGISTRY"] = str(cls.dir / "registry.db")
        cls.call(cls.bin / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", cls.wheel)
        cls.call(cls.bin / "wreg", "synth", "--arch", "hunyuan", "--out", cls.dir / "hunyuan",
                 "--without", "layers.3.mlp.experts.2.up_proj.weight")
        cls.python("import wreg; wreg.ingest('hunyuan')")

    @classmethod
    def call(cls, *argv, status=0):
        p = subprocess.run([str(a) for a in argv], cwd=cls.dir, env=cls.env, capture_output=True, text=True, encoding="utf-8")
        if p.returncode != status:
            raise AssertionError(f"{argv}: status {p.returncode}, want {status}\n{p.stdout}{p.stderr}")
        return p.stdout

    @classmethod
    def python(cls, code):
        return cls.call(cls.bin / "python", "-I", "-c", code)

    def test_demo(self):
        self.assertIn("Done in", self.call(self.bin / "wreg", "demo"))

    def test_status_passes_through(self):
        self.call(self.bin / "wreg", "lint", "hunyuan", status=1)
        self.call(self.bin / "wreg", "no-such-verb", status=2)

    def test_query(self):
        out = self.python("import wreg; print(wreg.query('missing *', model='hunyuan'))")
        self.assertIn("model.layers.3.mlp.experts.2.up_proj.weight", out)

    def test_answers(self):
        """Rows, their columns and what is said of them; flags of every kind; an answer without rows."""
        self.assertEqual(json.loads(self.python("""
import json, pathlib, wreg
rows = wreg.query("find *.up_proj.weight select layer, count() group by layer", model="hunyuan", exit_code=True)
none = wreg.query("find * where nans > 0", "hunyuan", registry=None, exit_code=False)
print(json.dumps([rows.columns, rows[3], rows.findings, rows.about["model"], len(none), none.columns[0], none.findings,
    wreg.lint(pathlib.Path("hunyuan")).findings, wreg.lint("hunyuan", strip=None)[0]["rule"],
    wreg.run("ls", json=True)[0]]))""")),
            [["layer", "count()"], {"layer": 3, "count()": 4}, True, "hunyuan@1", 0, "path", False, True, "architecture-missing", 0])

    def test_errors(self):
        """A refused export is Gaps with the rows; trouble is Error with what wreg said; a word is never a flag."""
        self.assertEqual(json.loads(self.python("""
import json, os, wreg
got = []
for call in (lambda: wreg.export("hunyuan", out="out"), lambda: wreg.plan("hunyuan", "out", "hf"),
             lambda: wreg.query("find * where", "hunyuan"), lambda: wreg.query("--help"), lambda: wreg.lint("--rules"),
             lambda: wreg.export("hunyuan", "out", dtype="int3")):
    try:
        got.append(["nothing", repr(call())])
    except wreg.Error as e:
        got.append([type(e).__name__, e.status, [r["path"] for r in getattr(e, "rows", [])]])
        assert str(e) and not str(e).startswith("wreg:"), e
print(json.dumps(got + [os.path.exists("out")]))""")),
            [["Gaps", 2, ["model.layers.3.mlp.experts.2.up_proj.weight"]]] * 2 + [["Error", 2, []]] * 4 + [False])

    def test_export(self):
        self.assertEqual(self.python("""
import os, wreg
wreg.run("synth", arch="llama", out="llama")
wreg.ingest("llama", name="tiny")
print(len(wreg.plan("tiny", "tiny-mlx")) > 10, os.path.exists("tiny-mlx"))
made = wreg.export("tiny", out="tiny-mlx", quantize=True, q_bits=8, q_override=["*.q_proj=keep", "lm_head=keep"], no_register=True)
print(os.path.exists("tiny-mlx/wreg-receipt.json"), made["source"], made["model"], made["tensors"] > 10)"""), "True False\nTrue tiny@1 None True\n")

    def test_frames(self):
        """df and arrow hand the columns over in order, with no row, too."""
        sys.path.insert(0, str(wheels.HERE))
        self.addCleanup(sys.path.remove, str(wheels.HERE))
        import wreg
        pandas, pyarrow = types.ModuleType("pandas"), types.ModuleType("pyarrow")
        pandas.DataFrame = lambda rows, columns: (rows, columns)
        pyarrow.table = lambda columns: columns
        sys.modules.update(pandas=pandas, pyarrow=pyarrow)
        self.addCleanup(sys.modules.pop, "pandas")
        self.addCleanup(sys.modules.pop, "pyarrow")
        rows = wreg.Rows({"columns": ["b", "a"], "rows": [{"b": 1, "a": None}, {"b": 2, "a": [3]}]})
        self.assertEqual(rows.df(), ([{"b": 1, "a": None}, {"b": 2, "a": [3]}], ["b", "a"]))
        self.assertEqual(list(rows.arrow().items()), [("b", [1, 2]), ("a", [None, [3]])])
        self.assertEqual(wreg.Rows({"columns": ["a"]}).arrow(), {"a": []})

    def test_record(self):
        """Every file is in RECORD with its hash, the same input gives the same bytes, and every system has a name."""
        with zipfile.ZipFile(self.wheel) as z:
            record = next(n for n in z.namelist() if n.endswith("/RECORD"))
            rows = {name: hash for name, hash, _ in csv.reader(io.StringIO(z.read(record).decode()))}
            self.assertEqual(sorted(rows), sorted(z.namelist()))
            for name, want in rows.items():
                if name != record:
                    got = base64.urlsafe_b64encode(hashlib.sha256(z.read(name)).digest()).decode().rstrip("=")
                    self.assertEqual("sha256=" + got, want, name)
            self.assertIn("wreg/py.typed", rows)
        other = self.dir / "other"
        other.mkdir()
        for (goos, goarch), tags in wheels.TAGS.items():
            once = wheels.make(other, __file__, goos, goarch)
            first = once.read_bytes()
            self.assertEqual(first, wheels.make(other, __file__, goos, goarch).read_bytes())
            self.assertIn(".".join(tags), once.name)
            with zipfile.ZipFile(once) as z:
                self.assertEqual("wreg/bin/wreg.exe" in z.namelist(), goos == "windows")

    def test_sbom(self):
        """What is in the binary, with versions, and nothing of the tests."""
        bom = dist.sbom(os.environ["WREG"], "wreg")
        names = [c["name"] for c in bom["components"]]
        refs = [c["bom-ref"] for c in bom["components"]]
        self.assertEqual(names[0], "std")
        self.assertIn("github.com/spf13/cobra", names)
        self.assertNotIn("github.com/google/go-cmp", names)
        self.assertEqual(len(set(refs)), len(refs))
        self.assertTrue(all(c["version"].startswith("v") for c in bom["components"][1:]), refs)
        self.assertEqual(bom["dependencies"][0]["dependsOn"], refs)
        self.assertEqual(bom["metadata"]["component"]["hashes"][0]["content"], dist.sha256(os.environ["WREG"]))


if __name__ == "__main__":
    unittest.main()
