package torch

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
)

// TestOddArrays sets numpy's arrays to what is not right: each is refused by its path or
// said not to be listed, and none is listed wrong.
func TestOddArrays(t *testing.T) {
	const dtype = "cnumpy\ndtype\n(X\x02\x00\x00\x00f4\x89\x88tR"
	little := dtype + "(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
	set := func(state string) string {
		return "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR" + state
	}
	buffer := func(args string) string { return "cnumpy._core.numeric\n_frombuffer\n(" + args + "tR" }
	for _, c := range []struct{ what, value, says string }{
		{"sound", set("(K\x01K\x01\x85" + little + "\x89C\x04abcdtb"), "x f32 [1]"},
		{"flags as numbers", set("(K\x01K\x01\x85" + little + "K\x01C\x04abcdtb"), "x f32 [1]"},
		{"the writer's own order", set("(K\x01K\x01\x85" + dtype + "\x89C\x04abcdtb"), "x f32 [1]"},
		{"text that is bytes", set("(K\x01K\x01\x85" + little + "\x89X\x05\x00\x00\x00abc\xc3\xa9tb"), "x f32 [1]"},
		{"bytes of Python 2", set("(K\x01K\x01\x85" + little + "\x89U\x04abcdtb"), "x f32 [1]"},
		{"set twice", set("(K\x01K\x02\x85" + little + "\x89C\x04abcdtb(K\x01K\x01\x85" + little + "\x89C\x04abcdtb"), "x f32 [1]"},
		{"too few bytes", set("(K\x01K\x02\x85" + little + "\x89C\x04abcdtb"), `at "x": an array: f32 [2] takes 8 bytes, the pickle holds 4`},
		{"too many bytes", set("(K\x01)" + little + "\x89C\x05abcdetb"), `at "x": an array: f32 [] takes 4 bytes, the pickle holds 5`},
		{"a negative dimension", set("(K\x01J\xff\xff\xff\xff\x85" + little + "\x89C\x00tb"), `at "x": an array`},
		{"a dimension that is True", set("(K\x01\x88\x85" + little + "\x89C\x04abcdtb"), `at "x": an array: shape`},
		{"a huge shape", set("(K\x01J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87" + little + "\x89C\x04abcdtb"), `at "x": an array`},
		{"a huge shape of nothing", set("(K\x01J\xff\xff\xff\x7fK\x00\x86" + little + "\x89C\x00tb"), "x f32 [2147483647, 0]"},
		{"no dtype", set("(K\x01K\x01\x85N\x89C\x04abcdtb"), `its dtype is a None`},
		{"a dtype of a number", set("(K\x01K\x01\x85cnumpy\ndtype\nK\x01\x85R\x89C\x04abcdtb"), `its dtype is of a int`},
		{"a dtype with half a state", set("(K\x01K\x01\x85" + dtype + "K\x03\x85b\x89C\x04abcdtb"), `its dtype's state`},
		{"a dtype without a code", set("(K\x01K\x01\x85cnumpy\ndtype\nX\x00\x00\x00\x00\x85R\x89C\x04abcdtb"), `unread-array x`},
		{"a long double", set("(K\x01K\x01\x85cnumpy\ndtype\nX\x03\x00\x00\x00f16\x85R\x89C\x04abcdtb"), `unread-array x`},
		{"opaque bytes, as bf16 is in .npy", set("(K\x01K\x01\x85cnumpy\ndtype\nX\x02\x00\x00\x00V2\x85R\x89C\x02abtb"), `unread-array x`},
		{"bf16 of ml_dtypes", set("(K\x01K\x01\x85cnumpy\ndtype\n(cml_dtypes\nbfloat16\n\x89\x88tR\x89C\x02abtb"), "x bf16 [1]"},
		{"another's float", set("(K\x01K\x01\x85cnumpy\ndtype\n(cother\nfloat32\n\x89\x88tR\x89C\x04abcdtb"), `unread-array x`},
		{"a subclass's state", set("(K\x01K\x01\x85tb"), `unread-array x`},
		{"never set", "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR", "unread-array x"},
		{"elements that are a dict", set("(K\x01K\x01\x85" + little + "\x89}tb"), `at "x": an array: its elements are a dict`},
		{"objects with a tensor in them", set("(K\x01K\x01\x85cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R\x89](N" + aTensor + "etb"), "x.1 f32 [4]"},
		{"order K", buffer("C\x06abcdefcnumpy\ndtype\nX\x02\x00\x00\x00u1\x85RK\x02K\x03\x86X\x01\x00\x00\x00KK\x01K\x00\x86"), "x u8 [3, 2]"},
		{"order K of another rank", buffer("C\x06abcdefcnumpy\ndtype\nX\x02\x00\x00\x00u1\x85RK\x02K\x03\x86X\x01\x00\x00\x00KK\x01\x85"), "its axes are not"},
		{"order K with an axis twice", buffer("C\x06abcdefcnumpy\ndtype\nX\x02\x00\x00\x00u1\x85RK\x02K\x03\x86X\x01\x00\x00\x00KK\x01K\x01\x86"), "its axes are not"},
		{"order Z", buffer("C\x06abcdefcnumpy\ndtype\nX\x02\x00\x00\x00u1\x85RK\x06\x85X\x01\x00\x00\x00Z"), "whose order"},
		{"a tensor of an array", "ctorch._utils\n_rebuild_device_tensor_from_numpy\n(" + set("(K\x01K\x01\x85"+little+"\x89C\x04abcdtb") + "ctorch\nfloat32\nX\x03\x00\x00\x00xla\x89tR", "x f32 [1]"},
		{"a tensor converted from an array", "ctorch._utils\n_rebuild_device_tensor_from_numpy\n(" + set("(K\x01K\x01\x85"+little+"\x89C\x04abcdtb") + "ctorch\nbfloat16\nX\x03\x00\x00\x00xla\x89tR", `at "x": a tensor made by torch._utils._rebuild_device_tensor_from_numpy`},
	} {
		f, err := pickled(t, "}X\x01\x00\x00\x00x"+c.value+"s")
		says := fmt.Sprint(err)
		if err == nil {
			says = ""
			for _, n := range f.Findings() {
				if !n.Note() {
					says += n.Rule + " " + n.Tensor + " "
				}
			}
			for i, info := range f.Tensors() {
				says += fmt.Sprintf("%s %v %v ", info.Path, info.DType, info.Shape)
				if info.Offset != -1 && info.Format == "torch" && f.views[i].Storage.Data != nil {
					t.Errorf("%s: at offset %d", c.what, info.Offset)
				}
			}
		}
		if !strings.Contains(says, c.says) {
			t.Errorf("%s: %s, want %s", c.what, says, c.says)
		}
	}
}

// TestCallsOfInstances: what calling an instance gives is inert, whatever it is filled
// with; where a tensor may depend on the call, its bytes are not known.
func TestCallsOfInstances(t *testing.T) {
	const (
		partial = "cfunctools\npartial\ncm\nC\n\x85R"
		method  = "cbuiltins\ngetattr\ncm\nC\n)RX\x01\x00\x00\x00m\x86R"
		set     = "}X\x01\x00\x00\x00w" + aTensor + "sb"
	)
	for _, c := range []struct{ what, value, says string }{
		{"of partial", partial + ")R", "inert-object"},
		{"of partial, set afterwards", partial + ")R" + set, "x.w f32 [4]"},
		{"of partial as it is pickled", partial + "(cm\nC\n)}Ntb)R" + set, "x.w f32 [4]"},
		{"of a call", partial + ")R)R)R" + set, "x.w f32 [4]"},
		{"of a method", method + "K\x01\x85R" + set, "x.w f32 [4]"},
		{"of partial, given a tensor", partial + aTensor + "\x85R", `at "x": a tensor made by functools.partial.__call__`},
		{"of a call, given a tensor", partial + ")R" + aTensor + "\x85R", `at "x": a tensor made by functools.partial.__call__`},
		{"of a method, given a tensor in a list", method + "](" + aTensor + "e\x85R", `at "x": a tensor made by m.C.m.__call__`},
		{"of partial that was given a tensor", partial + "(cm\nC\n" + aTensor + "\x85}Ntb)R", `at "x": a tensor made by functools.partial.__call__`},
		{"of partial, as a storage", "ctorch._utils\n_rebuild_tensor_v2\n(" + partial + ")RK\x00K\x04\x85K\x01\x85\x89}tR", `at "x": a tensor made by functools.partial.__call__`},
		{"of partial, as a tensor", "ctorch._utils\n_rebuild_parameter\n" + partial + ")R\x88}\x87R", `at "x": a tensor made by functools.partial.__call__`},
		{"of partial of what acts", "cfunctools\npartial\ncos\nsystem\n\x85R)R", "names os.system"},
		{"of partial of getattr", "cfunctools\npartial\ncbuiltins\ngetattr\ncm\nC\n\x86R)R", "hands on builtins.getattr"},
		{"of partial that is set to getattr", partial + "(cbuiltins\ngetattr\n)}Ntb)R", "hands on builtins.getattr"},
		{"of reduce over getattr", "cfunctools\nreduce\ncbuiltins\ngetattr\n](e\x86R", "hands on builtins.getattr"},
		{"of a tensor", aTensor + ")R", "Callable"},
		{"as of a class", partial + ")\x81", "neither class nor function"},
	} {
		f, err := pickled(t, "}X\x01\x00\x00\x00x"+c.value+"s")
		says := fmt.Sprint(err)
		if err == nil {
			says = ""
			for class := range f.Inert() {
				says += "inert-object " + class + " "
			}
			for _, info := range f.Tensors() {
				says += fmt.Sprintf("%s %v %v ", info.Path, info.DType, info.Shape)
			}
		}
		if !strings.Contains(says, c.says) {
			t.Errorf("call %s: %s, want %s", c.what, says, c.says)
		}
	}
}

// TestSharedArrays: many arrays may be of the same bytes, and hashing reads all of them.
func TestSharedArrays(t *testing.T) {
	const n = 200 << 10
	data := "B" + string([]byte{0, n >> 8 & 0xff, n >> 16, 0}) + strings.Repeat("a", n)
	one := "h\x00h\x01Rh\x02b"
	text := "cnumpy.core.multiarray\n_reconstruct\nq\x000(cnumpy\nndarray\nK\x00\x85C\x01btq\x010(K\x01J\x00\x20\x03\x00\x85cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R\x89" + data + "tq\x020(" + strings.Repeat(one, 20_000) + "t"
	f, err := pickled(t, text)
	if err == nil {
		err = f.settle()
	}
	if err == nil || !strings.Contains(err.Error(), "are shown by tensors that look at the same storages") {
		t.Errorf("%v; want a refusal: 4 GB are shown", err)
	}
	if f.HeaderBytes() < n || f.HeaderBytes() > n+1<<20 {
		t.Errorf("%d bytes stay in memory, of arrays that share %d", f.HeaderBytes(), n)
	}
}

// TestOddExports reads archives of torch.export whose list of weights is not right.
func TestOddExports(t *testing.T) {
	weight := func(meta string) string {
		return `{"config": {"w": {"path_name": "weight_0", "is_param": true, "use_pickle": false, "tensor_meta": {` + meta + `}}}}`
	}
	const sound = `"dtype": 7, "sizes": [{"as_int": 2}], "strides": [{"as_int": 1}], "storage_offset": {"as_int": 0}, "layout": 7`
	for _, c := range []struct{ what, config, says string }{
		{"sound", weight(sound), "w f32 [2] "},
		{"no weights", `{"config": {}}`, ""},
		{"a weight twice: the last counts", weight(sound)[:len(weight(sound))-2] + `, "w": {"path_name": "weight_0", "tensor_meta": {` + strings.Replace(sound, `"as_int": 2`, `"as_int": 1`, 1) + `}}}}`, "w f32 [1] "},
		{"past the record", weight(strings.Replace(sound, `"as_int": 2`, `"as_int": 3`, 1)), "reach element 2 of 2"},
		{"no number", weight(strings.Replace(sound, `"as_int": 2`, `"as_expr": "s0"`, 1)), "a size that is not a number"},
		{"negative", weight(strings.Replace(sound, `"as_int": 2`, `"as_int": -2`, 1)), "weight \"w\""},
		{"another dtype", weight(strings.Replace(sound, "7", "77", 1)), "its dtype is not known"},
		{"sparse", weight(strings.Replace(sound, `"layout": 7`, `"layout": 1`, 1)), "not strided"},
		{"no such record", strings.Replace(weight(sound), "weight_0", "weight_1", 1), `there is no record "m/data/weights/weight_1"`},
		{"elsewhere", strings.Replace(weight(sound), "weight_0", "../weights/weight_0", 1), "there is no record"},
		{"pickled", strings.Replace(weight(sound), `"use_pickle": false`, `"use_pickle": true`, 1), "unread-array w "},
		{"no JSON", `{"config": `, "model_weights_config.json"},
		{"JSON that goes on", `{"config": {}}{}`, "model_weights_config.json"},
	} {
		data := ingesttest.Zip(ingesttest.Record{Name: "m/data/weights/weight_0", Data: []byte("abcdefgh")}, ingesttest.Record{Name: "m/data/weights/model_weights_config.json", Data: []byte(c.config)},
			ingesttest.Record{Name: "m/byteorder", Data: []byte("little")})
		f, err := Open(t.Context(), bytes.NewReader(data), int64(len(data)), "m.pt2")
		says := fmt.Sprint(err)
		if err == nil {
			says = ""
			for _, n := range f.Findings() {
				says += n.Rule + " " + n.Tensor + " "
			}
			for _, info := range f.Tensors() {
				says += fmt.Sprintf("%s %v %v ", info.Path, info.DType, info.Shape)
			}
		}
		if !strings.Contains(says, c.says) || err == nil && says != c.says {
			t.Errorf("%s: %s, want %s", c.what, says, c.says)
		}
	}
}
