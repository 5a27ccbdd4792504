"""What the action, the hooks and the image run, on the built binary."""
import json
import os
import pathlib
import re
import struct
import subprocess
import tempfile
import unittest

import wheels


class Check(unittest.TestCase):
    def check(self, *args):
        p = subprocess.run(["bash", str(wheels.ROOT / "packaging/check"), *args], cwd=self.dir, capture_output=True, text=True)
        return p.returncode, p.stdout + p.stderr

    def test_check(self):
        """0, 1 and 2 are the worst of what was asked; SARIF is whole; no registry is left or touched."""
        folder = tempfile.TemporaryDirectory(prefix="wreg-check-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        for name, lost in ("whole", []), ("-odd one", ["--without", "layers.3.mlp.experts.2.up_proj.weight"]):
            subprocess.run([os.environ["WREG"], "synth", "--quiet", "--arch", "hunyuan", f"--out=./{name}", *lost], cwd=self.dir, check=True)
        moe = str(wheels.ROOT / "docs/checks/moe.checks")
        self.assertEqual(self.check("whole", moe)[0], 0, self.check("whole", moe))
        status, said = self.check("-odd one", "", "found.sarif")
        self.assertEqual(status, 1, said)
        self.assertIn("experts.2.up_proj", said)
        sarif = json.loads((self.dir / "found.sarif").read_text())
        self.assertEqual([r["ruleId"] for r in sarif["runs"][0]["results"]], ["architecture-missing"])
        result = sarif["runs"][0]["results"][0]
        self.assertEqual(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "-odd%20one/model.safetensors.index.json")
        self.assertIn("primaryLocationLineHash", result["partialFingerprints"])
        status, said = self.check("-odd one", moe)
        self.assertEqual(status, 1, said)
        self.assertIn("::experts-missing: expected none", said)
        status, said = self.check("-odd one", moe, "found.sarif", "checks.sarif")
        self.assertEqual(status, 1, said)
        failed = json.loads((self.dir / "checks.sarif").read_text())["runs"][0]["results"]
        self.assertIn("experts-missing", "".join(r["message"]["text"] for r in failed))
        self.assertEqual(failed[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "-odd%20one/model.safetensors.index.json")
        (self.dir / "checks.sarif").unlink()
        self.assertEqual(self.check("whole", "no-such.checks")[0], 2)
        self.assertEqual(self.check("no-such-model", moe, "none.sarif", "none-checks.sarif")[0], 2)  # an empty one is none to upload
        self.assertEqual(sorted(p.name for p in self.dir.iterdir()), ["-odd one", "found.sarif", "whole"])

    def test_action(self):
        """The steps of action.yml that are commands, as a runner runs them, from a folder that is not the action's."""
        text = (wheels.ROOT / "action.yml").read_text()
        folder = tempfile.TemporaryDirectory(prefix="wreg-action-")
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        subprocess.run([os.environ["WREG"], "synth", "--quiet", "--arch", "hunyuan", "--out", "a model",
                        "--without", "layers.3.mlp.experts.2.up_proj.weight"], cwd=self.dir, check=True)
        inputs = dict.fromkeys(re.findall(r"^  (\w+):\n    description:", text, re.M), "") | {"checkpoint": "./a model", "checks": str(wheels.ROOT / "docs/checks/moe.checks"), "sarif": "true"}
        env = {k: v for k, v in os.environ.items() if k != "WREG"}
        env |= {"GITHUB_ACTION_PATH": str(wheels.ROOT), "RUNNER_TEMP": str(self.dir), "GITHUB_OUTPUT": str(self.dir / "output")}
        env |= {name: inputs[of] for name, of in re.findall(r"^      (\w+): \$\{\{ inputs\.(\w+) \}\}$", text, re.M)}
        said = [subprocess.run(["bash", "-eo", "pipefail", "-c", step], cwd=self.dir, env=env, capture_output=True, text=True)
                for step in re.findall(r"^    run: (.+)$", text, re.M)]
        self.assertEqual([p.returncode for p in said], [0, 1], [p.stderr for p in said])
        self.assertIn("::error file=a model/model.safetensors.index.json,title=architecture-missing::", said[1].stdout)
        # Each upload is of a file that is there, under a category of its own, and for an output that the step gave.
        outputs = dict(line.split("=") for line in (self.dir / "output").read_text().splitlines())
        uploads = re.findall(r"^  - if: .*steps\.check\.outputs\.(\w+) == 'true' .*\n    uses: github/codeql-action/upload-sarif@.*\n    with:\n"
                             r"      sarif_file: \$\{\{ runner\.temp \}\}/(\S+)\n      category: (\S+)$", text, re.M)
        self.assertEqual({name: outputs.get(name) for name, _, _ in uploads}, {"lint": "true", "checks": "true"})
        self.assertEqual(len({category for _, _, category in uploads}), 2)
        for _, file, _ in uploads:
            self.assertTrue(json.loads((self.dir / file).read_text())["runs"][0]["results"], file)

    def test_hooks(self):
        """Every hook, with the arguments that docs/install.md gives it, is fine with a whole checkpoint and fails with a lost expert."""
        text = (wheels.ROOT / ".pre-commit-hooks.yaml").read_text()
        entries = re.findall(r"^- id: (\S+)\n  name: .*\n  description: .*\n  entry: wreg (\w+)$", text, re.M)
        self.assertEqual(len(entries), text.count("- id:"))
        given = dict(re.findall(r"\{id: ([\w-]+), args: \[(.*)\]\}", (wheels.ROOT / "docs/install.md").read_text()))
        for lost, status in ([], 0), (["--without", "layers.3.mlp.experts.2.up_proj.weight"], 1):
            with tempfile.TemporaryDirectory(prefix="wreg-hooks-") as folder:
                def wreg(*args):
                    return subprocess.run([os.environ["WREG"], *args], cwd=folder, env=os.environ | {"WREG_REGISTRY": folder + "/r.db"}, capture_output=True)
                wreg("synth", "--arch", "hunyuan", "--out", "model", *lost)
                wreg("ingest", "model", "--name", "hunyuan")
                pathlib.Path(folder, "wreg.checks").write_text((wheels.ROOT / "docs/checks/moe.checks").read_text())
                for hook, verb in entries:
                    self.assertEqual(wreg(verb, *given[hook].split(", ")).returncode, status, hook)

    def test_alone(self):
        """The binary of the image asks for no loader: there is nothing around it. What the image starts is what was built."""
        with tempfile.TemporaryDirectory(prefix="wreg-alone-") as folder:
            path = pathlib.Path(folder, "wreg")
            wheels.compile(path, "linux", "amd64")
            data = path.read_bytes()
        start, = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        kinds = [struct.unpack_from("<I", data, start + i * size)[0] for i in range(count)]
        self.assertIn(1, kinds)  # PT_LOAD
        self.assertNotIn(3, kinds)  # PT_INTERP
        text = (wheels.ROOT / "Dockerfile").read_text()
        built = re.search(r"-o /out(\S+)", text)[1]
        self.assertEqual(re.findall(r'^ENTRYPOINT \["(.+)"\]$', text, re.M), [built] * 2)
