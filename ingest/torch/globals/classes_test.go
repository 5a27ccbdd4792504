package globals

import (
	"strings"
	"testing"
)

// TestClassOf names what scanners of pickles call dangerous, however it is reached, and
// what sound checkpoints hold.
func TestClassOf(t *testing.T) {
	spend := func(int64) error { return nil }
	for verdict, names := range map[string]string{
		"refused": `
builtins|eval builtins|exec builtins|compile builtins|__import__ builtins|open builtins|breakpoint builtins|globals builtins|setattr __builtin__|execfile
__builtin__|eval __builtin__|apply __builtin__|file builtins|eval.__call__ builtins|input builtins|getattr.__class__
os|system os|popen os|execve os|environ os.path|join os|path.join posix|system nt|system subprocess|Popen subprocess|check_output sys|modules sys|exit
pickle|loads _pickle|loads cPickle|loads marshal|loads shelve|open dill|loads cloudpickle|loads joblib|load numpy|load torch|load torch.serialization|load
importlib|import_module importlib.util|spec_from_file_location imp|load_source runpy|run_path runpy|_run_code pkgutil|resolve_name pydoc|pipepager pydoc|locate
socket|create_connection _socket|socket ssl|wrap_socket http.client|HTTPSConnection urllib.request|urlopen urllib|urlopen ftplib|FTP smtplib|SMTP requests|get
requests.api|get aiohttp|ClientSession webbrowser|open antigravity|geohash ctypes|CDLL _ctypes|dlopen mmap|mmap fcntl|ioctl pty|spawn shutil|rmtree tempfile|mkstemp
glob|glob io|open io|FileIO _io|open codecs|open gzip|open bz2|open operator|attrgetter operator|methodcaller _operator|attrgetter threading|Thread _thread|start_new_thread
multiprocessing|Process concurrent.futures.process|ProcessPoolExecutor asyncio|create_subprocess_shell asyncio.subprocess|create_subprocess_exec commands|getoutput popen2|popen2
code|interact codeop|compile_command pdb|set_trace pdb|Pdb.run bdb|Bdb profile|run cProfile|run cProfile|runctx trace|Trace timeit|timeit doctest|debug_script cgitb|hook
idlelib.pyshell|ModifiedInterpreter lib2to3.pgen2.pgen|ParserGenerator unittest|main venv|create ensurepip|bootstrap ensurepip._uninstall|main distutils.spawn|spawn
pip|main pip._internal|main setuptools|setup logging.config|listen logging|FileHandler sqlite3|connect zipimport|zipimporter linecache|getlines gc|get_objects signal|signal
uuid|_popen platform|popen typing|get_type_hints copyreg|add_extension site|main rlcompleter|Completer faulthandler|_sigsegv test.support.script_helper|assert_python_ok
torch.hub|load torch.hub|_get_cache_or_reload torch.package|PackageImporter torch.jit|load torch._dynamo.guards|GuardBuilder.get torch.ops|load_library torch._inductor.codecache|compile_file
torch.utils.cpp_extension|load torch.utils._config_module|os.system torch.utils.collect_env|run torch.utils.bottleneck.__main__|run_cprofile torch.distributed.rpc|rpc_sync
torch.fx.experimental.symbolic_shapes|ShapeEnv.evaluate_guards_expression torch.jit.unsupported_tensor_ops|execWrapper torch.utils.data.datapipes.utils.decoder|basichandlers
torch.fx.graph_module|_exec_with_source torch.multiprocessing.spawn|spawn torch.testing._internal.common_utils|run_tests numpy.testing._private.utils|runstring numpy.f2py|compile torch.utils._config_module|ConfigModule.load_config _pyrepl.pager|pipe_pager test.test_support|run_unittest
pandas|read_pickle pandas|eval hydra.utils|instantiate hydra._internal.utils|_locate yaml|unsafe_load IPython|embed keras.models|load_model transformers.dynamic_module_utils|get_class_in_module
torch|serialization.os.system random|_os random|_os.system m|x.sys.modules numpy.core|os collections|_sys.exit m|f.__globals__ m|C.__subclasses__ m|C.__class__.__base__
commands|Popen StringIO|open SimpleHTTPServer|test copy_reg|add_extension thread|start_new_thread anydbm|open urllib2|urlopen __builtin__|exec.x __builtin__|__import__
types|CodeType types|FunctionType cloudpickle.cloudpickle|_make_function dill._dill|_create_function inspect|getattr_static __builtins__|exec
m|C.__init__.__builtins__ distributed.protocol.pickle|loads torch.serialization|pickle.loads m|importlib.import_module torch.storage|io.pickle mylib.subprocess|run m|__import__`,
		"inert": `
typing|Any typing|Optional functools|partial functools|reduce collections|deque collections|Counter types|SimpleNamespace types|GenericAlias types|MethodType enum|IntFlag
datetime|datetime pathlib|PosixPath uuid|UUID re|_compile argparse|Namespace inspect|Signature inspect|_ParameterKind dataclasses|_MISSING_TYPE dataclasses|Field weakref|ref
operator|itemgetter operator|add _operator|getitem math|sqrt itertools|count string|Template copy|deepcopy abc|ABCMeta contextlib|nullcontext threading|Lock logging|Logger
logging|getLogger json|loads time|time random|Random http|HTTPStatus urllib.parse|ParseResult signal|Signals platform|uname_result zoneinfo|ZoneInfo io|BytesIO _io|BytesIO ipaddress|IPv4Address
__main__|Net __main__|Outer.Inner code.model|Net test|Net trace.model|Net cmd.net|Net profile|Config site.models|Model user|Net Queue|Queue
torch._C._nn|gelu torch|relu torch._C|_VariableFunctionsClass.relu torch._C|Generator torch.nn.functional|silu torch.nn.modules.linear|Linear torch.nn.init|xavier_uniform_ torch|tanh
torch.utils.hooks|RemovableHandle torch.utils.checkpoint|checkpoint torch.utils.data.dataloader|DataLoader torch.utils.data.dataset|Subset torch.fx.graph_module|GraphModule
torch.fx._symbolic_trace|Tracer torch.jit._script|RecursiveScriptModule torch._dynamo.eval_frame|OptimizedModule torch.optim.adamw|AdamW torch.optim.lr_scheduler|LambdaLR
torch.distributions.normal|Normal torch.profiler.profiler|profile torch|trace torch.ao.quantization.observer|MinMaxObserver torch.jit._pickle|restore_type_tag torch.amp.grad_scaler|GradScaler
omegaconf.dictconfig|DictConfig omegaconf.base|ContainerMetadata omegaconf.nodes|AnyNode lightning.pytorch.utilities.parsing|AttributeDict pytorch_lightning.callbacks.early_stopping|EarlyStopping
lightning_fabric.utilities.data|AttributeDict transformers.trainer_utils|IntervalStrategy transformers.training_args|TrainingArguments transformers.models.bert.configuration_bert|BertConfig
transformers.activations|GELUActivation accelerate.state|PartialState accelerate.utils.dataclasses|DistributedType ultralytics.nn.modules.conv|Conv ultralytics.nn.tasks|DetectionModel
pyannote.audio.core.task|Specifications numpy|float64 numpy.random._pickle|__randomstate_ctor numpy.random._pickle|__bit_generator_ctor pandas.core.frame|DataFrame
pandas.core.internals.managers|BlockManager pandas._libs.internals|_unpickle_block sklearn.preprocessing._data|StandardScaler scipy.sparse._csr|csr_matrix sentencepiece|SentencePieceProcessor
tokenizers|Tokenizer timm.layers.std_conv|StdConv2d torchvision.models.resnet|ResNet easydict|EasyDict yacs.config|CfgNode mmengine.config.config|ConfigDict fairseq.data.dictionary|Dictionary`,
	} {
		for _, n := range strings.Fields(names) {
			module, name, _ := strings.Cut(n, "|")
			c, err := Seen{}.ClassOf(module, name, spend)
			switch {
			case verdict == "refused" && (err == nil || !strings.Contains(err.Error(), "nothing is run")):
				t.Errorf("%s.%s: %v; want a refusal", module, name, err)
			case verdict == "inert" && (err != nil || c.Make != nil || c.Module != module || c.Name != name):
				t.Errorf("%s.%s: %v", module, name, err)
			}
		}
	}
}

// TestActing: the list has each name once, and modules as they are imported.
func TestActing(t *testing.T) {
	seen := map[string]bool{}
	for line := range strings.Lines(strings.TrimSpace(acting)) {
		words := strings.Fields(line)
		if len(words) < 2 || seen[words[0]] || words[1] == "*" && len(words) > 2 {
			t.Errorf("line %q", line)
			continue
		}
		seen[words[0]] = true
		for _, w := range words[1:] {
			if w != "*" && strings.Contains(w, ".") {
				t.Errorf("line %q: %q is dotted", line, w)
			}
		}
	}
}
