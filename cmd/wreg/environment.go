package main

// environment is the one table of the variables that wreg reads: what help, manuals and the
// pages print. A test holds it to the source.
var environment = []struct{ name, about string }{
	{"WREG_REGISTRY", "the registry's file, where --registry is not given"},
	{"WREG_MODEL", "the model that query, explain, test and shell ask where neither the query nor the command line names one"},
	{"XDG_DATA_HOME", "the folder of data: the registry is wreg/registry.db in it (default ~/.local/share, on Windows LOCALAPPDATA)"},
	{"LOCALAPPDATA", "on Windows: the folder of data, where XDG_DATA_HOME is not set"},
	{"HOME", "the home folder; on Windows USERPROFILE"},
	{"WREG_DEVICE", "where exports compute, where --device is not given: auto, cpu or metal"},
	{"WREG_REQUIRE_DEVICE", "cpu or metal: anything else that would be picked is an error"},
	{"WREG_NOASM", "any value but 0: plain Go in place of assembly"},
	{"WREG_PYTHON", "the Python of verify --runtime: an absolute path, or a name on PATH"},
	{"VIRTUAL_ENV", "the Python environment of verify --runtime, where WREG_PYTHON is not set"},
	{"PATH", "where that Python is looked for last; only absolute folders count"},
	{"HF_HUB_CACHE", "the cache of hf, where models by ORG/NAME are found"},
	{"HUGGINGFACE_HUB_CACHE", "an older name of HF_HUB_CACHE"},
	{"HF_HOME", "the folder that has the cache of hf as hub (default ~/.cache/huggingface)"},
	{"XDG_CACHE_HOME", "used in place of ~/.cache for that default"},
	{"NO_COLOR", "any value: no colours"},
	{"TERM", "dumb: no colours, progress bar, pager or editing of lines"},
	{"WREG_PAGER", "the command that shows answers which the terminal does not hold; empty or cat for none"},
	{"PAGER", "the same, where WREG_PAGER is not set (default less, where there is one)"},
	{"LESS", "options of less; without it wreg sets FRX"},
	{"BROWSER", "the program that ui opens pages with, where the system has none of its own for that"},
	{"TMPDIR", "where demo and verify --runtime make their temporary folders"},
	{"GOMEMLIMIT", "Go's soft bound on memory; without it wreg sets one of 400 MiB, except for exports and the like"},
	{"GOGC", "Go's garbage collection; ingest sets its own without it"},
	{"WREG_QUOTED_WORDS", "set by the completion scripts: words come as they were typed"},
}
