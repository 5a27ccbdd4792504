"""Shells complete wreg's queries inside of quotes, from the scripts that wreg writes for them."""
import os
import pty
import re
import select
import shutil
import subprocess
import time

LIMIT = 60  # seconds for one answer

START = {
    "bash": (["bash", "--noprofile", "--norc", "-i"], ". ./script"),
    "zsh": (["zsh", "-f", "-i"], "unsetopt beep zle_bracketed_paste; autoload -U compinit; compinit -u -d ./dump; . ./script"),
    "fish": (["fish", "--no-config", "-i"], "source ./script"),
}

# What is typed, TAB with it, and what the whole line must then be.
LINES = [
    ("wreg query 'find * where dty\t", "wreg query 'find * where dtype"),
    ("wreg query 'find * where dtype = b\t", "wreg query 'find * where dtype = bf16"),
    ("wreg query 'find mlp.shared\t", "wreg query 'find mlp.shared_mlp"),
    ('wreg query "find * in hunyuan@\t', 'wreg query "find * in hunyuan@1'),
    ("wreg show hunyuan model.nor\t", "wreg show hunyuan model.norm."),
    ("wreg query 'find $(touch pwned) in hun\t", "wreg query 'find $(touch pwned) in hunyuan"),
]


def line_of(shell, folder, env, typed, want):
    """Types a line, ends it by a quote where one is open, and gives what the shell was asked to run."""
    command, start = START[shell]
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvpe(command[0], command, env)
    shown = ""

    def until(pattern):
        nonlocal shown
        end = time.time() + LIMIT
        while not re.search(pattern, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()=>][B0]?|\x07", "", shown)):
            if time.time() > end or not select.select([fd], [], [], max(0, end - time.time()))[0]:
                raise AssertionError(f"{shell}: {typed!r} shows {shown!r}, want {pattern}")
            shown += os.read(fd, 4096).decode(errors="replace")

    try:
        os.write(fd, (start + "; echo rea''dy\r").encode())
        until("ready\r?\n")
        shown = ""
        quote = re.search("[\"']", want)
        os.write(fd, typed.encode())
        until(re.escape(want[-4:]))
        os.write(fd, ((quote.group() if quote else "") + "\r").encode())
        end = time.time() + LIMIT
        while not os.path.exists(f"{folder}/ran") and time.time() < end:
            if select.select([fd], [], [], 0.05)[0]:
                shown += os.read(fd, 4096).decode(errors="replace")
        return open(f"{folder}/ran").read().rstrip("\n")
    finally:
        os.close(fd)
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def check_quoted_queries(folder, wreg, shell):
    wreg("synth", "--arch", "hunyuan", "--out", f"{folder}/hunyuan")
    wreg("ingest", f"{folder}/hunyuan")
    script = wreg("completion", shell)
    binary = shutil.which(os.environ.get("WREG", "wreg"))
    for n, (typed, want) in enumerate(LINES):
        here = f"{folder}/{n}"
        os.makedirs(f"{here}/bin")
        with open(f"{here}/script", "w") as f:
            f.write(script)
        with open(f"{here}/bin/wreg", "w") as f:  # completes as wreg does, and tells what it is run with
            f.write(f'#!/bin/sh\ncase "$1" in __complete*) exec "{binary}" "$@";; esac\n(for a in wreg "$@"; do printf "%s " "$a"; done) > "{here}/new"; mv "{here}/new" "{here}/ran"\n')
        os.chmod(f"{here}/bin/wreg", 0o755)
        env = dict(wreg.env, PATH=f"{here}/bin:{os.environ['PATH']}", HOME=here, XDG_CONFIG_HOME=here, XDG_DATA_HOME=here, TERM="dumb" if shell == "zsh" else "xterm", PS1="$ ")
        got = line_of(shell, here, env, typed, want)
        plain = want.replace("'", "").replace('"', "")
        assert got.strip() == plain or got.strip() == plain + ".", f"{shell}: {typed!r} became {got!r}, want {plain!r}"
        assert not os.path.exists(f"{here}/pwned"), f"{shell}: {typed!r} ran"


check_quoted_queries.cases = list(START)
