"""``python template.py FD``: a process that has a script's imports behind it, and forks a copy of itself for each trial.

Run by the warden (``execute.templates``) as a program of its own, so it needs the standard library alone and leaves no module of ours
behind: a trial finds what ``python script.py`` would have found. It has one thread, and starts no trial where
its imports have left another. What a trial's copy shares with it: imported modules of libraries, and nothing else; the
script itself and modules beside it are read anew by each trial, since they may change in between.

Over a socket of packets it gets the setup first, then one request a trial, with two descriptors for its output::

    {"python": […], "kind": "script", "name": "train.py", "cwd": "/…", "learns": true}
    {"id": 7, "token": "…", "argv": […], "args": […], "cwd": "/…", "env": {…}}

and answers ``ready`` or ``unusable`` (and ends); for each request ``born`` (said by the copy itself, when it can be signalled),
``failed`` (with the system's error), ``refused`` (start it cold) or ``stale`` (the function's file has changed); at the end of
a copy ``ended``; and ``spoilt`` when what it imported later must not be forked. Knows no warden.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    _FIRST = frozenset(sys.modules)
    if not sys.flags.safe_path:
        del sys.path[0]  # our own directory, whose files are no modules of the trial's

import atexit
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import types
import warnings
from collections.abc import Callable
from importlib.machinery import SourceFileLoader, all_suffixes
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trialist.execute import scan as _scan
else:  # beside us, and no module that a trial could see
    _spec = importlib.util.spec_from_file_location("scan", os.path.join(os.path.dirname(__file__), "scan.py"))
    _scan = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_scan)

_PR_SET_PDEATHSIG = 1
_MAX_REQUEST = 1 << 20
_MARK = "TRIALIST_TRIAL"
_SUFFIXES = tuple(all_suffixes())
_OWN = sys._getframe().f_code.co_filename
_CALL = "import sys; from trialist.runtime.call import main; sys.exit(main(*sys.argv[1:]))"
_MODULE = "import runpy; runpy._run_module_as_main({!r})"


# --- what is imported beforehand -------------------------------------------------------------------------------------


def _import(name: str, taken: tuple[str, ...] = ()) -> None:
    """Import a module and those among the names that are modules too; the trial says what is wrong with any of them."""
    try:
        module = importlib.import_module(name)
        for part in taken:
            if hasattr(module, "__path__") and part != "*" and not hasattr(module, part):
                _import(f"{name}.{part}")
    except (Exception, SystemExit):  # noqa: BLE001, S110
        pass


def _hazard() -> str:
    """Why this process must not be forked any more; empty where it may."""
    import _thread

    if _thread._count() > 0:
        threading = sys.modules.get("threading")
        names = [thread.name for thread in threading.enumerate()[1:]] if threading is not None else []
        return f"its imports start a thread{f' ({names[0]})' if names else ''}"
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        return "its imports initialise CUDA"
    return ""


# --- the process -----------------------------------------------------------------------------------------------------


class Template:
    """The process before and between forks; in a copy, the way from the fork to the trial's first line.

    Args:
        control: To the warden.
        mark: Address of the text that stands for ``TRIALIST_TRIAL`` in the environment that the system shows of this
            process, and of its copies, to others.
        room: Bytes of that text.
    """

    def __init__(self, control: socket.socket, mark: int, room: int) -> None:
        self._control = control
        self._mark, self._room = mark, room
        self._setup: dict[str, Any] = json.loads(control.recv(_MAX_REQUEST) or sys.exit())
        self._prctl = ctypes.CDLL(None).prctl
        self._copies: dict[int, int] = {}
        """Ids of requests by pid."""
        self._learning = dict[int, bytearray]()
        """What copies have told of their imports so far, by the descriptor on which they tell it."""
        self._learns: bool = self._setup["learns"]
        self._sources: dict[str, tuple[int, int]] = {}
        ours = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
        self._libraries = _scan.Libraries(ours)
        self._main = types.ModuleType("__main__")
        self._old_main = sys.modules["__main__"]
        self._beside = (0, 0)
        """State of the script's directory when it was last looked through."""
        self._poll = select.poll()

    def prepare(self) -> None:
        """Import what can be imported before any trial."""
        kind, name = self._setup["kind"], self._setup["name"]
        sys.modules["__main__"] = self._main
        self._main.__builtins__ = importlib.import_module("builtins")  # type: ignore[attr-defined]
        self._main.__annotations__ = {}
        sys.argv[:] = ["-c" if kind == "function" else "-m" if kind == "module" else name]
        if kind == "function":
            self._prepare_function(name)
        else:
            scan = _scan.Scan(self._libraries)
            if kind == "script":
                file = _absolute(name)
                self._main.__file__ = file
                self._main.__cached__ = None  # type: ignore[attr-defined]
                self._main.__loader__ = SourceFileLoader("__main__", file)
                self._put_first(os.path.dirname(os.path.realpath(file)))
                scan.file(file)
            else:
                self._put_first(os.getcwd())
                scan.program(name)
            for module, taken in scan.names:
                _import(module, taken)
        why = _hazard() or self._shadow()
        if why:
            self._tell(op="unusable", why=why)
            os._exit(0)
        self._settle()
        self._tell(op="ready")

    def _prepare_function(self, target: str) -> None:
        path = os.environ.get("TRIALIST_SYS_PATH")
        if path is not None:
            sys.path[:] = json.loads(path)
        try:
            from trialist.runtime import call

            function = call.load(target)
        except BaseException as error:  # noqa: BLE001 - whatever the user's module does; each trial says it again, cold
            self._tell(op="unusable", why=f"{type(error).__name__}: {error}"[:300])
            os._exit(0)
        self._main.__loader__ = None
        file = getattr(sys.modules.get(getattr(function, "__module__", None) or ""), "__file__", None)
        for source in (file, target if target.endswith(".pkl") else None):
            if isinstance(source, str) and os.path.isfile(source):
                self._sources[source] = _state(source)

    def _put_first(self, folder: str) -> None:
        if not sys.flags.safe_path:
            sys.path.insert(0, folder)

    def _shadow(self) -> str:
        """Whether a file of the user's hides a module that is loaded here already, or a library has loaded one of the user's."""
        if self._setup["kind"] == "function":
            return ""
        for name, module in list(sys.modules.items()):
            if name not in _FIRST and module is not self._main and self._is_own(module):
                return f"a library imports '{name}', which is yours ({module.__file__})"
        return self._hidden()

    def _hidden(self) -> str:
        if sys.flags.safe_path:
            return ""
        folder = sys.path[0]
        self._beside = _state(folder)
        try:
            files = os.listdir(folder)
        except OSError:
            return ""
        for file in files:
            name, dot, suffix = file.partition(".")
            if name in sys.modules and (dot + suffix in _SUFFIXES if dot else _is_package(folder, file)):
                loaded = getattr(sys.modules[name], "__file__", None) or ""
                if not os.path.realpath(loaded).startswith(os.path.realpath(folder) + os.sep):
                    return f"'{file}' beside it has the name of a module of Python's or of a library's"
        return ""

    def _settle(self) -> None:
        """Make what is loaded cheap to copy."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        gc.collect()
        gc.freeze()
        self._known = frozenset(sys.modules)
        self._own = {"__main__", *(name for name, module in list(sys.modules.items()) if self._is_own(module))}

    def _tell(self, **message: Any) -> None:
        try:
            self._control.send(json.dumps(message).encode())
        except OSError:  # the warden is gone, and so will this be
            os._exit(1)

    def serve(self) -> Callable[[], Any]:
        """Fork for each request; returns in the copies alone, with what is to be called on top of the stack."""
        signals, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        before = signal.signal(signal.SIGCHLD, lambda *_: None)
        waker_before = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(signals, select.POLLIN)
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == signals:
                    os.read(signals, 4096)
                    self._reap()
                elif descriptor in self._learning:
                    self._learn(descriptor)
                else:
                    request, descriptors = self._receive()
                    if self._fork(request, descriptors):
                        signal.set_wakeup_fd(waker_before)
                        signal.signal(signal.SIGCHLD, before)
                        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
                        os.close(signals)
                        os.close(waker)
                        return self._begin(request, descriptors)

    def _receive(self) -> tuple[dict[str, Any], list[int]]:
        data, descriptors, _, _ = socket.recv_fds(self._control, _MAX_REQUEST, 2)
        if not data:
            os._exit(0)
        return json.loads(data), descriptors

    def _reap(self) -> None:
        """Tell who ended, and only then let go of it: a death in between loses nobody."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            status = found.si_status if found.si_code != os.CLD_EXITED else found.si_status << 8
            if found.si_code == os.CLD_DUMPED:
                status |= 0x80
            if found.si_pid in self._copies:
                self._tell(op="ended", id=self._copies.pop(found.si_pid), pid=found.si_pid, status=status)
            os.waitpid(found.si_pid, 0)

    # learning from what trials import later than at their start

    def _learn(self, descriptor: int) -> None:
        told = self._learning[descriptor]
        data = os.read(descriptor, 1 << 16)
        told += data
        if data and not data.endswith(b"\n"):
            return
        self._poll.unregister(descriptor)
        os.close(descriptor)
        del self._learning[descriptor]
        if not data or not self._learns:
            return
        self._learns = False
        for name in json.loads(told):
            if name not in sys.modules:
                _import(name)
        why = _hazard() or self._shadow()
        if why:
            self._tell(op="spoilt", why=why)
            self._poll.unregister(self._control)  # it lives on as the parent of its copies
        self._settle()

    def _tell_imports(self, descriptor: int, pipe: int, pid: int) -> None:
        """Said by a copy at its end, unless the trial has closed the pipe, and perhaps opened something else in its place."""
        try:
            is_ours = os.getpid() == pid and os.fstat(descriptor).st_ino == pipe
        except OSError:
            return
        if is_ours:
            new = [
                name for name, module in list(sys.modules.items()) if name not in self._known and self._lasts(module)
            ]
            try:
                os.write(descriptor, json.dumps(new).encode() + b"\n")
            except OSError:  # nobody listens any more
                pass

    def _lasts(self, module: Any) -> bool:
        spec = getattr(module, "__spec__", None)
        if spec is None or spec.name != getattr(module, "__name__", None) or spec.name == "__mp_main__":
            return False
        return self._libraries.has(spec.origin if spec.has_location else None) and not _scan.is_namespace(spec)

    # forking

    def _fork(self, request: dict[str, Any], descriptors: list[int]) -> bool:
        """Whether this is the copy that is to run the request."""
        if self._setup["kind"] == "script" and not os.path.isfile(_absolute(self._setup["name"])):
            self._tell(op="refused", id=request["id"])  # Python's own words about it are the trial's
        elif any(_state(file) != known for file, known in self._sources.items()) or self._hides_more():
            self._tell(op="stale", id=request["id"])
            self._poll.unregister(self._control)
        else:
            told, teller = os.pipe() if self._learns else (-1, -1)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # libraries' threads that know how to be forked
                    pid = os.fork()
            except OSError as error:
                self._tell(op="failed", id=request["id"], error=[error.errno, error.strerror, None])
                pid = -1
            if pid == 0:
                if told >= 0:
                    os.close(told)
                    atexit.register(self._tell_imports, teller, os.fstat(teller).st_ino, os.getpid())
                return True
            if told >= 0:
                os.close(teller)
                self._learning[told] = bytearray()
                self._poll.register(told, select.POLLIN)
            if pid > 0:
                self._copies[pid] = request["id"]
        for descriptor in descriptors:
            os.close(descriptor)
        return False

    def _hides_more(self) -> bool:
        """Whether a file that came beside the script hides a module that is loaded."""
        is_function = self._setup["kind"] == "function" or sys.flags.safe_path
        return not is_function and _state(sys.path[0]) != self._beside and bool(self._hidden())

    def _begin(self, request: dict[str, Any], descriptors: list[int]) -> Callable[[], Any]:
        """Become the trial's process."""
        os.setsid()
        self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != _PID:
            os._exit(1)
        for number, descriptor in enumerate(descriptors, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        for descriptor in self._learning:
            os.close(descriptor)
        try:
            os.chdir(request["cwd"])
        except OSError as error:
            self._tell(op="failed", id=request["id"], error=[error.errno, error.strerror, request["cwd"]])
            os._exit(1)
        token = request["token"].encode()[: self._room]
        ctypes.memmove(self._mark, token.ljust(self._room, b"\0"), self._room)
        os.environ.update(request["env"])
        faults = sys.modules.get("trialist.core.faults")
        if faults is not None:
            faults.play("trial")  # what it is imported as where a trial starts cold
        random = sys.modules.get("numpy.random")
        if random is not None:
            random.seed()  # else all trials would draw the same "random" numbers
        sys.argv[:] = [sys.argv[0], *request["args"]]
        sys.orig_argv[:] = request["argv"]
        self._tell(op="born", id=request["id"], pid=os.getpid())
        self._control.close()
        return self._program()

    def _program(self) -> Callable[[], Any]:
        """What the trial runs, to be called where no frame of ours but the lowest lies below it."""
        kind, name = self._setup["kind"], self._setup["name"]
        if kind != "script":
            code = compile(_CALL if kind == "function" else _MODULE.format(name), _OWN, "exec")
            return lambda: (code, {"__name__": "__trialist__"})
        space = self._main.__dict__
        file = _absolute(name)

        def read() -> Any:
            with open(file, "rb") as source:
                return compile(source.read(), file, "exec", dont_inherit=True), space

        return read

    # ending

    def leave(self, code: int) -> None:
        """End this copy as Python ends, but for taking apart what it shares with the template: most of the work, for nothing.

        Threads are waited for, exit functions run, the user's own modules are let go with all that they hold, output is
        flushed. Returns where that cannot be done so: Python's own end does it then.
        """
        import _thread

        threading = sys.modules.get("threading")
        if threading is not None:
            threading._shutdown()
        if _thread._count() > 0 or sys.gettrace() is not None:
            return  # daemons must be frozen before their world goes
        atexit._run_exitfuncs()
        for name, module in list(sys.modules.items()):
            if name in self._own or (name not in self._known and self._is_own(module)):
                for key in [*module.__dict__]:
                    if key != "__builtins__":
                        module.__dict__[key] = None
        gc.collect()
        try:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None and not stream.closed:
                    stream.flush()
        except (OSError, ValueError, AttributeError):
            return
        ctypes.CDLL(None).fflush(None)
        os._exit(code)

    def _is_own(self, module: Any) -> bool:
        """Whether a module is the user's."""
        file = getattr(module, "__file__", None) if isinstance(module, types.ModuleType) else None
        return isinstance(file, str) and os.path.isabs(file) and not self._libraries.has(file)


def _exit_code(error: SystemExit) -> int | None:
    """What Python ends with after it; ``None`` where it has something to print, or to think."""
    if error.code is None:
        return 0
    return error.code & 0xFF if type(error.code) is int and abs(error.code) < 1 << 31 else None


def _state(file: str) -> tuple[int, int]:
    try:
        found = os.stat(file)
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _is_package(folder: str, name: str) -> bool:
    return any(os.path.isfile(f"{folder}/{name}/__init__{suffix}") for suffix in _SUFFIXES)


def _absolute(path: str) -> str:
    """A script's path as Python itself makes it absolute."""
    return path if os.path.isabs(path) else os.path.join(os.getcwd(), path)


def _hide_us(error: BaseException) -> None:
    """Have an exception shown as if there were no frame of ours below the trial's."""
    shown = sys.excepthook

    def show(kind: type[BaseException], value: BaseException, trace: types.TracebackType | None) -> None:
        sys.excepthook = shown
        while trace is not None and trace.tb_frame.f_code.co_filename == _OWN:
            trace = trace.tb_next
        value.__traceback__ = sys.last_traceback = trace
        shown(kind, value, trace)

    sys.excepthook = show


def _start() -> Template:
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    mark, room = libc.getenv(_MARK.encode()), len(os.environ.pop(_MARK))
    template = Template(socket.socket(fileno=int(sys.argv[1])), mark, room)
    template.prepare()
    return template


_PID = os.getpid()

if __name__ == "__main__":
    _template = _start()
    _read = _template.serve()
    _code: int | None = 0
    try:
        exec(*_read())  # noqa: S102 - the trial's program
    except SystemExit as _error:
        _code = _exit_code(_error)
        if _code is None:
            raise
    except BaseException as _error:
        _hide_us(_error)
        raise
    _template.leave(_code or 0)
    sys.exit(_code)
