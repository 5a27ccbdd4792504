package globals

import "strings"

// acting are the names that act when Python loads a pickle that calls them: they run
// something, load or make code, reach other programs, files or machines, or hand out what does. A
// line is a module, or a class, and the names of it; * is all of it and of what lies
// below. What is not here stays inert: nothing is run either way, but no file that
// needs one of these is to be trusted.
const acting = `
builtins __build_class__ __import__ apply breakpoint compile delattr eval exec execfile exit file globals help input locals open quit raw_input reload setattr vars
copyreg add_extension clear_extension_cache constructor pickle remove_extension
operator __call__ attrgetter call methodcaller
_operator __call__ attrgetter call methodcaller
codecs EncodedFile open register register_error
_codecs register register_error
io FileIO OpenWrapper open open_code
_io FileIO open open_code
_pyio FileIO OpenWrapper open open_code
bz2 BZ2File open
gzip GzipFile open
lzma LZMAFile open
logging FileHandler basicConfig
logging.config *
logging.handlers *
threading Thread Timer
_thread exit exit_thread interrupt_main start_new start_new_thread
typing _eval_type get_type_hints
types CodeType FunctionType LambdaType
inspect currentframe getattr_static stack
_signal alarm pause pidfd_send_signal pthread_kill raise_signal set_wakeup_fd setitimer siginterrupt signal
platform _syscmd_file _syscmd_processor _syscmd_ver popen
signal alarm pause pidfd_send_signal pthread_kill raise_signal set_wakeup_fd setitimer siginterrupt signal
uuid _get_command_stdout _popen
resource prlimit setrlimit
site addpackage addsitedir execsitecustomize execusercustomize main
code InteractiveConsole InteractiveInterpreter compile_command interact
cmd Cmd
trace Trace main
profile Profile main run runctx
test.support *
test.libregrtest *
test.test_support *
compiler compile compileFile
concurrent.futures.process *
http.client *
http.cookiejar *
http.server *
urllib FancyURLopener URLopener urlopen urlretrieve
urllib.request *
_aix_support *
_bootsubprocess *
_ctypes *
_frozen_importlib *
_frozen_importlib_external *
_imp *
_multiprocessing *
_osx_support *
_pickle *
_posixshmem *
_posixsubprocess *
_pyrepl *
_sitebuiltins *
_socket *
_sqlite3 *
_ssl *
_tkinter *
_winapi *
_xxsubinterpreters *
antigravity *
asynchat *
asyncio *
asyncore *
atexit *
bdb *
cProfile *
cgi *
cgitb *
codeop *
compileall *
ctypes *
curses *
dbm *
distutils *
doctest *
ensurepip *
faulthandler *
fcntl *
fileinput *
ftplib *
gc *
getpass *
glob *
idlelib *
ihooks *
imaplib *
imp *
importlib *
imputil *
lib2to3 *
linecache *
mailbox *
mailcap *
marshal *
mmap *
modulefinder *
msilib *
msvcrt *
multiprocessing *
netrc *
nis *
nntplib *
nt *
os *
ossaudiodev *
pdb *
pickle *
pickletools *
pipes *
pkgutil *
popen2 *
poplib *
posix *
pstats *
pty *
py_compile *
pyclbr *
pydoc *
readline *
rlcompleter *
runpy *
select *
selectors *
shelve *
shutil *
smtpd *
smtplib *
socket *
socketserver *
spwd *
sqlite3 *
ssl *
subprocess *
subprocess32 *
symtable *
sys *
sysconfig *
syslog *
tabnanny *
tarfile *
telnetlib *
tempfile *
termios *
timeit *
tkinter *
tty *
turtle *
turtledemo *
unittest *
venv *
webbrowser *
winreg *
winsound *
wsgiref *
xmlrpc *
zipapp *
zipfile *
zipimport *
IPython *
_pytest *
aiohttp *
boto3 *
cloudpickle dump dumps load loads
cloudpickle.cloudpickle _builtin_type _fill_function _make_function _make_skel_func dump dumps dynamic_subimport load loads subimport
dill dump dump_module dump_session dumps load load_module load_session loads
dill._dill Unpickler _create_code _create_function _eval_repr _get_attr _import_module dump dumps load loads
docker *
fabric *
httpx *
huggingface_hub hf_hub_download snapshot_download
hydra._internal *
hydra.utils *
invoke *
joblib dump load
joblib.numpy_pickle NumpyUnpickler dump load
jsonpickle *
jupyter_client *
keras.models load_model
nose *
numpy DataSource fromfile fromregex genfromtxt load loads loadtxt save savetxt savez savez_compressed
numpy.ctypeslib *
numpy.distutils *
numpy.f2py *
numpy.lib.npyio fromregex genfromtxt load loadtxt save savetxt savez savez_compressed
numpy.testing *
pandas eval read_pickle
pandas.core.computation *
pandas.io.common *
pandas.io.pickle *
paramiko *
pexpect *
pip *
pkg_resources *
plumbum *
psutil *
pytest *
requests *
setuptools *
sh *
tensorflow load_library load_op_library
torch from_file import_ir_module load save
torch._C PyTorchFileReader PyTorchFileWriter _import_ir_module_from_package import_ir_module import_ir_module_from_buffer
torch._dynamo.guards *
torch._inductor *
torch._ops load_library
torch._weights_only_unpickler *
torch.classes load_library
torch.cpp_extension *
torch.distributed.elastic *
torch.distributed.launch *
torch.distributed.nn.jit *
torch.distributed.rpc *
torch.distributed.run *
torch.export load save
torch.fx.experimental.symbolic_shapes.ShapeEnv evaluate_guards_expression
torch.fx.graph_module _exec_with_source _forward_from_src _method_from_src
torch.hub *
torch.jit CompilationUnit load save
torch.jit._serialization *
torch.jit.unsupported_tensor_ops *
torch.multiprocessing Pool Process SpawnContext spawn start_processes
torch.multiprocessing.spawn *
torch.onnx export
torch.ops load_library
torch.package *
torch.serialization _legacy_load _legacy_save _load _open_file _open_zipfile_reader _open_zipfile_writer _save load save
torch.testing._internal *
torch.utils._config_module.ConfigModule load_config
torch.utils.bottleneck *
torch.utils.collect_env *
torch.utils.cpp_extension *
torch.utils.data.datapipes.utils.decoder *
torch.utils.hipify *
torch.utils.model_dump *
torch.utils.model_zoo *
torch.utils.show_pickle *
transformers.dynamic_module_utils *
urllib3 *
win32api *
win32com *
yaml full_load full_load_all load load_all unsafe_load unsafe_load_all
cloudpickle.cloudpickle_fast dump dumps load loads
joblib.externals *
pyspark.cloudpickle *
ray.cloudpickle *
sklearn.externals *
pickle5 *
zodbpickle *
multiprocess *
billiard *
importlib_metadata *
concurrent.futures ProcessPoolExecutor
numpy.lib._npyio_impl fromregex genfromtxt load loads loadtxt save savetxt savez savez_compressed
numpy.core.numeric load loads
numpy.core.multiarray fromfile
numpy._core.multiarray fromfile
numpy.lib.format open_memmap read_array write_array
numpy.ndarray dump tofile
dataclasses _create_fn make_dataclass
six exec_
future.utils exec_
mpmath.libmp exec_
mpmath.libmp.backend exec_
sympy lambdify parse_expr sympify
sympy.core.sympify sympify
sympy.parsing.sympy_parser eval_expr parse_expr
sympy.utilities.lambdify lambdify
numexpr *
pandas.DataFrame eval query
pandas.core.frame.DataFrame eval query
scipy.weave *
cffi *
django.utils.module_loading *
werkzeug.utils import_string
torch._dynamo.utils import_submodule
torch.cuda CUDAPluggableAllocator _compile_kernel
torch.cuda.memory CUDAPluggableAllocator
torch._ops._Ops load_library
torch.distributed.distributed_c10d _tensor_to_object
torch.distributed.checkpoint load load_state_dict save save_state_dict
torch.distributed.checkpoint.format_utils *
torch.FloatStorage from_file
torch.UntypedStorage from_file
torch.TypedStorage from_file
torch.storage.UntypedStorage from_file
torch.storage.TypedStorage from_file
transformers pipeline
transformers.pipelines pipeline
keras.src.saving *
keras.saving *
keras.utils get_file
git *
fsspec open open_files
fsspec.core open open_files
smart_open *
pathlib.Path chmod hardlink_to link_to mkdir open rename replace rmdir symlink_to touch unlink write_bytes write_text
pathlib.PosixPath chmod hardlink_to link_to mkdir open rename replace rmdir symlink_to touch unlink write_bytes write_text
pathlib.WindowsPath chmod hardlink_to link_to mkdir open rename replace rmdir symlink_to touch unlink write_bytes write_text
`

// renamed are modules of Python 2 and what Python 3 makes of their names when it loads an
// older pickle.
const renamed = `
__builtin__ builtins
__builtins__ builtins
copy_reg copyreg
cPickle pickle
StringIO io
cStringIO io
commands subprocess
thread _thread
dummy_thread _thread
_winreg winreg
SocketServer socketserver
BaseHTTPServer http.server
CGIHTTPServer http.server
SimpleHTTPServer http.server
DocXMLRPCServer xmlrpc.server
SimpleXMLRPCServer xmlrpc.server
xmlrpclib xmlrpc.client
cookielib http.cookiejar
httplib http.client
urllib2 urllib.request
anydbm dbm
dbhash dbm
dumbdbm dbm
gdbm dbm
whichdb dbm
Dialog tkinter
FileDialog tkinter
ScrolledText tkinter
SimpleDialog tkinter
Tix tkinter
Tkconstants tkinter
Tkdnd tkinter
Tkinter tkinter
tkColorChooser tkinter
tkCommonDialog tkinter
tkFileDialog tkinter
tkFont tkinter
tkMessageBox tkinter
tkSimpleDialog tkinter
ttk tkinter
`

// reaching are what a name passes through to get at what acts, wherever it begins: the
// modules that others have imported, under their own name or, as the standard library
// does, with an underscore before it, and how Python's objects hang together.
const reaching = `
os posix nt sys subprocess builtins importlib imp runpy ctypes socket shutil pickle cPickle marshal pty webbrowser popen2
_os _sys _subprocess _builtins _importlib _imp _ctypes _socket _shutil _marshal
__builtin__ __builtins__ __import__ __globals__ __closure__ __code__ __func__ __dict__ __class__ __base__ __bases__ __mro__ __subclasses__
__getattribute__ __loader__ __spec__ __reduce__ __reduce_ex__ __setstate__
`

var actingNames, newNames, reachingNames = names(acting), names(renamed), word(reaching)

// names reads the lines of acting.
func names(lines string) map[string]map[string]bool {
	m := map[string]map[string]bool{}
	for line := range strings.Lines(lines) {
		module, list, _ := strings.Cut(line, " ")
		m[module] = word(list)
	}
	return m
}

func word(list string) map[string]bool {
	m := map[string]bool{}
	for s := range strings.FieldsSeq(list) {
		m[s] = true
	}
	return m
}

// acts says that a dotted name is one that acts, or passes through one.
func acts(name string) bool {
	first, rest, _ := strings.Cut(name, ".")
	for now := range newNames[first] {
		return acts(now + "." + rest)
	}
	for start := 0; ; {
		part, _, more := strings.Cut(name[start:], ".")
		if start > 0 && reaches(part) {
			return true
		}
		within := actingNames[name[:max(0, start-1)]]
		if within["*"] || within[part] {
			return true
		}
		if !more {
			return actingNames[name]["*"]
		}
		start += len(part) + 1
	}
}

func reaches(part string) bool { return reachingNames[part] }
