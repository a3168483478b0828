"""A script finds the same world whether it starts warm or cold: each fact that it can see, compared."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from trialist.execute.command import CommandExecutor, Launch
from trialist.execute.pool import PoolExecutor
from trialist.execute.warm import warm_command
from trialist.testing.executors import Drive, segment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all trials start cold")

WORLD = '''
"""The script's own words."""
import json, os, resource, signal, stat, sys, threading, time, types, warnings

def handlers():
    found = {}
    for number in sorted(signal.valid_signals()):
        try:
            found[int(number)] = repr(signal.getsignal(number)).split(" at ")[0]
        except ValueError:
            pass
    return found

main = sys.modules["__main__"]
world = {
    "argv": sys.argv,
    "orig_argv": sys.orig_argv,
    "names": sorted(name for name in vars(main) if name.startswith("__")),
    "name, file, doc": [__name__, __file__, __doc__],
    "spec, package, cached": [repr(__spec__), __package__, repr(__cached__)],
    "loader": [type(__loader__).__name__, getattr(__loader__, "name", None), getattr(__loader__, "path", None)],
    "builtins": type(__builtins__).__name__,
    "annotations": __annotations__,
    "main": [main.__dict__ is globals(), type(main).__name__],
    "cwd": os.getcwd(),
    "environ": {name: text for name, text in os.environ.items() if not name.startswith("TRIALIST_")},
    "ours": sorted(name for name in os.environ if name.startswith("TRIALIST_")),
    "path": sys.path,
    "flags": repr(sys.flags),
    "executable": [sys.executable, sys.prefix, sys.base_prefix],
    "warnoptions, xoptions": [sys.warnoptions, sys._xoptions],
    "filters": [repr(one) for one in warnings.filters],
    "umask": os.umask(os.umask(0)),
    "limits": [resource.getrlimit(number) for number in range(16)],
    "handlers": handlers(),
    "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
    "wakeup": signal.set_wakeup_fd(-1),
    "session": [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()],
    "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")),
    "stdin": [sys.stdin.read(), os.readlink("/proc/self/fd/0")],
    "streams": [
        [s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.write_through, s.isatty(), s.seekable(), s.newlines]
        for s in (sys.stdout, sys.stderr)
    ],
    "pipes": [stat.S_ISFIFO(os.fstat(number).st_mode) for number in (1, 2)],
    "threads": [thread.name for thread in threading.enumerate()],
    "is main thread": threading.current_thread() is threading.main_thread(),
    "excepthook": sys.excepthook is sys.__excepthook__,
    "hooks": [sys.displayhook is sys.__displayhook__, sys.unraisablehook is sys.__unraisablehook__],
    "trace": [sys.gettrace(), sys.getprofile()],
    "recursion": [sys.getrecursionlimit(), sys.getswitchinterval()],
    "marked": os.environ["TRIALIST_TRIAL"].encode() in open("/proc/self/environ", "rb").read(),
    "nice": os.nice(0),
}
print(json.dumps(world, default=repr))
'''


def ran(folder, source, cls, *, args=(), flags=(), module=None, times=1, env=None, name="script.py"):
    """What became of a program: the ends of its runs, and what each wrote to its output and to its errors."""
    file = folder / name
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(textwrap.dedent(source))
    program = ["-m", module] if module else [name]
    argv = [sys.executable, *flags, *program, *args]
    warm = warm_command(argv, folder)
    assert warm is not None
    run_dir = folder / cls.name

    def prepare(item):
        logs = Path(item.run_dir)
        return Launch(argv=argv, warm=warm, cwd=folder, env=env or {}, stdout=logs / "out", stderr=logs / "err")

    cold = []
    executor = cls(prepare, **({"say": cold.append} if cls is PoolExecutor else {}))
    drive = Drive(executor)
    try:
        ends = [drive.run(segment(run_dir, number))[0] for number in range(times)]
    finally:
        executor.close()
    assert cold == []
    written = [
        tuple(
            re.sub(rf"\b{cls.name}/trial", "trial", (run_dir / f"trial-{number}" / log).read_text())
            for log in ("out", "err")
        )
        for number in range(times)
    ]
    return ends, written


def both(folder, source, **given):
    """A program's end and its words, cold and warm, which must be the same."""
    (cold,), (cold_words,) = ran(folder, source, CommandExecutor, **given)
    (warm,), (warm_words,) = ran(folder, source, PoolExecutor, **given)
    assert warm_words == cold_words
    assert (warm.outcome, warm.error and (warm.error.message, warm.error.exit_code), warm.printed) == (
        cold.outcome,
        cold.error and (cold.error.message, cold.error.exit_code),
        cold.printed,
    )
    return cold, cold_words


@pytest.mark.parametrize(
    "given", [{}, {"args": ("--lr", "0.1", "a b")}, {"flags": ("-u",)}, {"name": "./deep/er.py"}], ids=str
)
@pytest.mark.parametrize(
    "env", [{}, {"PYTHONUNBUFFERED": ""}, {"PYTHONSAFEPATH": "1"}, {"PYTHONWARNINGS": "error"}], ids=str
)
def test_it_sees_the_same_world(tmp_path, given, env):
    _, (cold_words,) = ran(tmp_path, WORLD, CommandExecutor, env=env, **given)
    _, (_, warm_words) = ran(
        tmp_path, WORLD, PoolExecutor, env=env, times=2, **given
    )  # the first one has one more pipe
    cold, warm = json.loads(cold_words[0]), json.loads(warm_words[0])
    assert warm.keys() == cold.keys()
    for fact in cold:
        assert warm[fact] == cold[fact], fact
    assert warm_words[1] == cold_words[1]


def test_a_module_sees_the_same_world(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    given = {"module": "pkg.tool", "name": "pkg/tool.py", "args": ("x",)}
    _, (cold,) = ran(tmp_path, WORLD, CommandExecutor, **given)
    _, (_, warm) = ran(tmp_path, WORLD, PoolExecutor, times=2, **given)
    cold, warm = (json.loads(re.sub(" at 0x[0-9a-f]+", "", out)) for out, _ in (cold, warm))
    for fact in cold:
        assert warm[fact] == cold[fact], fact


ENDS = {
    "nothing": "print('value=1')",
    "sys.exit()": "import sys; sys.exit()",
    "sys.exit(0)": "import sys; sys.exit(0)",
    "sys.exit(3)": "import sys; sys.exit(3)",
    "sys.exit(-1)": "import sys; sys.exit(-1)",
    "sys.exit(256)": "import sys; sys.exit(256)",
    "sys.exit(True)": "import sys; sys.exit(True)",
    "sys.exit(text)": "import sys; sys.exit('no data')",
    "an exception": "def f():\n    raise ValueError('bad')\nf()",
    "a chained exception": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('x') from error",
    "an exception group": "raise ExceptionGroup('both', [ValueError(1), KeyError(2)])",
    "a syntax error": "def f(:\n    pass",
    "an import error": "import no_such_module_7",
    "os._exit": "import os; print('last', flush=True); os._exit(7)",
    "Ctrl-C": "print('on', flush=True)\nraise KeyboardInterrupt",
    "SIGINT": "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time; time.sleep(60)",
    "SIGTERM": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nimport time; time.sleep(60)",
    "SIGSEGV": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "abort": "import os; os.abort()",
    "a hook of its own": "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__, a[2].tb_lineno)\nraise ValueError",
    "atexit": "import atexit\natexit.register(print, 'one')\natexit.register(print, 'two')\nprint('body')",
    "atexit after an exception": "import atexit\natexit.register(print, 'one')\nraise ValueError",
    "atexit that raises": "import atexit\nclass Bad:\n    def __call__(self):\n        raise ValueError('late')\n    __repr__ = lambda self: 'bad'\natexit.register(Bad())",
    "a thread": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()\nprint('body')",
    "a daemon thread": (
        "import threading, time\nx = 1\ndef spin():\n    while x: time.sleep(0.001)\n"
        "threading.Thread(target=spin, daemon=True).start()\nprint('body')"
    ),
    "an executor": (
        "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(2)\n"
        "pool.submit(print, 'job').result()\nprint('body')"
    ),
    "a file left open": "f = open('left.txt', 'w')\nf.write('text')\nprint('body')",
    "an object with __del__": "class A:\n    def __del__(self):\n        print('gone')\na = A()\nb = [a]\nb.append(b)",
    "a finalizer": "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'final')",
    "a generator": "def g():\n    try:\n        yield 1\n    finally:\n        print('closed')\nh = g(); next(h)",
    "stdout closed": "import sys\nprint('x')\nsys.stdout.close()",
    "fd 1 closed": "import os, sys\nsys.stdout.flush()\nos.close(1)\nos._exit(0)",
    "stdout replaced": "import io, sys\nsys.stdout = io.StringIO()\nprint('lost')",
    "words of C": "import ctypes\nctypes.CDLL(None).printf(b'from C\\n')",
    "a warning": "import warnings\nwarnings.warn('careful')\nwarnings.warn('old', DeprecationWarning)",
    "its own source": "import inspect, sys\nprint(inspect.getsource(sys.modules['__main__']))",
    "its own frames": "import sys\ndef f(): return sys._getframe().f_back.f_code.co_name\nprint(f())",
    "a pickled class": (
        "import pickle\nclass A: x = 1\nprint(pickle.loads(pickle.dumps(A())).x, pickle.loads(pickle.dumps(A)) is A)"
    ),
    "an asynchronous main": "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    print('ran')\nasyncio.run(main())",
    "a child of its own": "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True).stdout)",
    "a fork": "import os\npid = os.fork()\nif pid == 0:\n    print('child', flush=True)\n    os._exit(0)\nos.waitpid(pid, 0)\nprint('parent')",
    "a fork that runs on": "import os, sys\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\nprint('both', flush=True)",
    "a log": "import logging\nlogging.basicConfig(level='INFO')\nlogging.info('said')",
    "recursion": "def f(): f()\ntry:\n    f()\nexcept RecursionError as error:\n    print(error)",
}


@pytest.mark.parametrize("env", [{}, {"PYTHONUNBUFFERED": ""}], ids=["unbuffered", "buffered"])
@pytest.mark.parametrize("what", ENDS)
def test_it_ends_in_the_same_way_with_the_same_words(tmp_path, what, env):
    both(tmp_path, ENDS[what], env=env)
    if what == "a file left open":
        assert (tmp_path / "left.txt").read_text() == "text"


@pytest.mark.parametrize("what", ["an exception", "sys.exit(3)", "a pickled class", "nothing"])
def test_a_module_ends_in_the_same_way(tmp_path, what):
    both(tmp_path, ENDS[what], module="tool", name="tool.py")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works_by_every_method(tmp_path, method):
    source = f"""
    import multiprocessing, os

    class Job:
        def __init__(self, x): self.x = x

    def work(job):
        return job.x * 2

    if __name__ == "__main__":
        context = multiprocessing.get_context({method!r})
        with context.Pool(2) as pool:
            print(pool.map(work, [Job(1), Job(2), Job(3)]))
    """
    _, (out, _) = both(tmp_path, source)
    assert out == "[2, 4, 6]\n"


def test_two_trials_draw_different_numbers_and_share_no_state(tmp_path):
    source = """
    import collections, random, tempfile, uuid
    import numpy as np
    marks = collections.__dict__.setdefault("marks", [])
    marks.append(1)
    print(len(marks), random.random(), np.random.rand(), np.random.default_rng().random(), uuid.uuid4(), hash(object()))
    print(tempfile.NamedTemporaryFile().name)
    """
    _, written = ran(tmp_path, source, PoolExecutor, times=3)
    facts = [out.split() for out, _ in written]
    assert [one[0] for one in facts] == ["1", "1", "1"]
    for place in (1, 2, 3, 4, 6):
        assert len({one[place] for one in facts}) == 3, place


def test_numpy_multiplies_after_the_fork(tmp_path):
    source = """
    import numpy as np
    x = np.arange(250_000.0).reshape(500, 500)
    for _ in range(3):
        y = x @ x
    print(y.sum(), np.linalg.eigvalsh(np.eye(200)).sum())
    """
    both(tmp_path, source)


@pytest.mark.extras
def test_torch_trains_after_the_fork(tmp_path):
    pytest.importorskip("torch")
    source = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(64, 1)
        def forward(self, x):
            return self.inner(x)

    torch.manual_seed(3)
    net = Net()
    x, y = torch.randn(512, 64), torch.randn(512, 1)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(20):
        optimiser.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimiser.step()
    torch.save(net, "net.pt")
    print(f"loss={loss.item():.5f}", len(list(torch.utils.data.DataLoader(x, num_workers=2, batch_size=64))))
    torch.load("net.pt", weights_only=False)(x)
    """
    both(tmp_path, source)


def test_what_changes_between_two_trials_is_seen_by_the_second(tmp_path):
    (tmp_path / "beside.py").write_text("word = 'old'\n")
    source = """
    import beside, os
    print(beside.word)
    if os.environ["TRIALIST_NUMBER"] == "0":
        with open("beside.py", "w") as file:
            file.write("word = 'quite new'")
        with open(__file__, "a") as file:
            file.write("print('appended')\\n")
    """
    _, written = ran(tmp_path, source, PoolExecutor, times=2)
    assert [out for out, _ in written] == ["old\n", "quite new\nappended\n"]


def test_a_script_that_is_not_there_is_missed_in_pythons_own_words(tmp_path):
    argv = [sys.executable, "gone.py"]
    word = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False).stderr
    run_dir = tmp_path / "run"

    def prepare(item):
        return Launch(argv=argv, warm=warm_command(argv, tmp_path), cwd=tmp_path, stdout=Path(item.run_dir) / "out")

    executor = PoolExecutor(prepare)
    try:
        (end,) = Drive(executor).run(segment(run_dir))
    finally:
        executor.close()
    assert end.error is not None
    assert end.error.exit_code == 2
    assert (run_dir / "trial-0" / "out").read_text() == word


@pytest.mark.parametrize(
    ("argv", "kind", "name", "args"),
    [
        ([sys.executable, "a.py", "-x"], "script", "a.py", ["-x"]),
        (["python3", "-u", "a.py"], "script", "a.py", []),
        ([sys.executable, "-m", "pkg.mod", "1"], "module", "pkg.mod", ["1"]),
        ([sys.executable, "-O", "a.py"], None, None, None),
        ([sys.executable, "-c", "pass"], None, None, None),
        ([sys.executable], None, None, None),
        ([sys.executable, "-"], None, None, None),
        (["/usr/bin/env", "python3", "a.py"], None, None, None),
        (["sh", "-c", "python a.py"], None, None, None),
        (["torchrun", "a.py"], None, None, None),
        ([], None, None, None),
    ],
    ids=str,
)
def test_which_commands_can_start_warm(monkeypatch, argv, kind, name, args):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    found = warm_command(argv)
    assert (found and (found.kind, found.name, list(found.args))) == (kind and (kind, name, args))
