"""The blocks of the documentation that are not a shell's: what mlx_lm says in the README, Python, YAML.

cmd/wreg/pages_test.go runs the commands, and names those blocks that are left to this module."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [p for p in [ROOT / "README.md", ROOT / "python/README.md", *sorted((ROOT / "docs").rglob("*.md"))]]


def blocks(lang):
    for page in PAGES:
        for m in re.finditer(rf"^```{lang}\n(.*?)^```$", page.read_text(), re.M | re.S):
            yield f"{page.relative_to(ROOT)}:{page.read_text()[:m.start()].count(chr(10)) + 1}", m[1]


def call(argv, folder, **env):
    p = subprocess.run([str(a) for a in argv], cwd=folder, env=dict(os.environ, **env), capture_output=True, text=True)
    return p.returncode, p.stdout + p.stderr


def tools(folder):
    """A folder for PATH with wreg, and one for PYTHONPATH with the module that wheels carry."""
    binary = shutil.which(os.environ.get("WREG", "wreg"))
    shutil.copytree(ROOT / "python/wreg", f"{folder}/lib/wreg")
    for place in f"{folder}/lib/wreg/bin", f"{folder}/bin":
        os.makedirs(place, exist_ok=True)
        os.symlink(os.path.abspath(binary), f"{place}/wreg")
    return {"PATH": f"{folder}/bin:{os.environ['PATH']}", "PYTHONPATH": f"{folder}/lib", "WREG_REGISTRY": f"{folder}/registry.db"}


def check_readme_mlx_lm(folder, wreg):
    """mlx_lm stops at the lost expert in the words that the README quotes."""
    said = next(text for _, text in blocks("console") if text.startswith("$ python -m mlx_lm"))
    command, *lines = said.splitlines()
    wreg("synth", "--arch", "hunyuan", "--out", f"{folder}/hunyuan", "--without", "layers.3.mlp.experts.2.up_proj.weight")
    status, got = call([sys.executable, *command.split()[2:]], folder)
    assert status != 0, got
    pattern = "\n".join(re.escape(line).replace(r"\.\.\.", ".*") for line in lines)
    assert re.search("^" + pattern + "$", got, re.M), f"{got}\nis not\n{said}"


def check_python(folder, wreg):
    """Python of the pages runs, by the module of the wheel."""
    found = 0
    for i, (where, text) in enumerate(blocks("python")):
        here = f"{folder}/{i}"
        os.mkdir(here)
        wreg("synth", "--arch", "hunyuan", "--out", f"{here}/hunyuan", "--without", "layers.3.mlp.experts.2.up_proj.weight")
        env = tools(here)
        # pandas and pyarrow are not among what the conformance needs.
        for name, made in ("pandas", "DataFrame = lambda rows, columns: (rows, columns)"), ("pyarrow", "table = dict"):
            pathlib.Path(f"{here}/lib/{name}.py").write_text(made + "\n")
        whole = "export(" in text and "Gaps" not in text
        if whole:
            shutil.rmtree(f"{here}/hunyuan")
            wreg("synth", "--arch", "hunyuan", "--out", f"{here}/hunyuan")
        status, got = call([sys.executable, "-c", text], here, **env)
        assert status == 0, f"{where}: {got}"
        assert whole or "experts.2.up_proj" in got, f"{where}: {got}"
        found += 1
    assert found, "no Python in the pages"


def check_yaml(folder, wreg):
    """Jobs and workflows of the pages are YAML, and their commands run; actions and hooks are what the repository offers."""
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    hooks = {h["id"] for h in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    for i, (where, text) in enumerate(blocks("yaml")):
        here = f"{folder}/{i}"
        os.mkdir(here)
        env = tools(here)
        os.symlink(ROOT / "docs", f"{here}/docs")
        wreg("synth", "--arch", "hunyuan", "--out", f"{here}/model")

        def shell(script, **more):
            script = re.sub(r"(?<![\w.])/(weights|data|tmp)/", rf"{here}/\1/", script)
            status, got = call(["bash", "-e", "-c", script], here, **env, **more)
            assert status == 0, f"{where}: {got}"

        said = yaml.safe_load(text)
        if isinstance(said, dict) and said.get("kind") == "Job":
            job = said["spec"]
            os.makedirs(f"{here}/tmp")
            for name, place in ("hunyuan", "weights"), ("big", "data"):
                wreg("synth", "--arch", "hunyuan", "--out", f"{here}/{place}/{name}")
            shell("wreg ingest /data/big --registry /data/registry.db --quiet")
            box, = job["template"]["spec"]["containers"]
            mounted = {v["name"] for v in job["template"]["spec"]["volumes"]}
            assert {m["name"] for m in box["volumeMounts"]} <= mounted, where
            assert job["completionMode"] == "Indexed", where
            more = {e["name"]: e["value"].replace("/tmp/", f"{here}/tmp/") for e in box.get("env", [])}
            env.update(more)
            argv = box["command"] + box.get("args", [])
            assert argv[:2] == ["sh", "-c"] and len(argv) == 3, where
            for index in range(job["completions"]):
                shell(argv[2], JOB_COMPLETION_INDEX=str(index))
            out = re.search(r"--out /(\S+)", argv[2])[1]
            shell(re.sub(r"--part \S+ \S+/\d+|--part .*/\d+( --no-register)?", "--finish", argv[2]))
            assert os.path.exists(f"{here}/{out}/wreg-receipt.json"), where
            continue
        steps = said["steps"] if isinstance(said, dict) else said
        for step in steps:
            if "run" in step:
                shell(step["run"])
            elif "hooks" in step:
                assert {h["id"] for h in step["hooks"]} <= hooks, where
            elif "wreg" in step["uses"]:
                assert set(step["with"]) <= set(inputs) and {k for k, v in inputs.items() if v.get("required")} <= set(step["with"]), where
            else:
                assert re.fullmatch(r"(actions|github)/[\w/-]+@v\d+", step["uses"]), where


def check_duckdb(folder, wreg):
    """What a page has DuckDB do with an answer."""
    import duckdb
    wreg("synth", "--arch", "hunyuan", "--out", f"{folder}/hunyuan")
    wreg("ingest", f"{folder}/hunyuan")
    found = 0
    for where, text in blocks("sh"):
        commands = re.findall(r'^duckdb -c "(.*)"$', text, re.M)
        if commands:
            pathlib.Path(f"{folder}/tensors.ndjson").write_text(
                wreg("query", "find * select path, dtype, bytes, absmax", "-m", "hunyuan", "--format", "ndjson"))
        for sql in commands:
            at = os.getcwd()
            os.chdir(folder)
            try:
                assert duckdb.sql(sql) is None or duckdb.sql(sql).fetchall(), f"{where}: {sql}"
            finally:
                os.chdir(at)
            found += 1
    assert found, "no DuckDB in the pages"
