package ingest

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wreg/ingest/ingesttest"
)

// ggufPart is part no of a GGUF that was split in count, with one tensor.
func ggufPart(t *testing.T, no, count byte) string {
	t.Helper()
	text := func(s string) string { return string(binary.LittleEndian.AppendUint64(nil, uint64(len(s)))) + s }
	pairs := text("split.no") + "\x02\x00\x00\x00" + string(rune(no)) + "\x00" + text("split.count") + "\x02\x00\x00\x00" + string(rune(count)) + "\x00" +
		text("split.tensors.count") + "\x05\x00\x00\x00" + "\x03\x00\x00\x00"
	head := "GGUF\x03\x00\x00\x00" + "\x01" + strings.Repeat("\x00", 7) + "\x03" + strings.Repeat("\x00", 7) + pairs +
		text("t"+string('0'+rune(no))) + "\x01\x00\x00\x00" + "\x08" + strings.Repeat("\x00", 7) + "\x00\x00\x00\x00" + strings.Repeat("\x00", 8)
	return head + strings.Repeat("\x00", (32-len(head)%32)%32+32)
}

// ggufSaying is a GGUF of one tensor whose metadata are some texts.
func ggufSaying(t *testing.T, pairs ...string) string {
	t.Helper()
	text := func(s string) string { return string(binary.LittleEndian.AppendUint64(nil, uint64(len(s)))) + s }
	n := func(n int) string { return string(binary.LittleEndian.AppendUint64(nil, uint64(n))) }
	head := "GGUF\x03\x00\x00\x00" + n(1) + n(len(pairs))
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		head += text(key) + "\x08\x00\x00\x00" + text(value)
	}
	head += text("t") + "\x01\x00\x00\x00" + n(8) + "\x00\x00\x00\x00" + n(0)
	return head + strings.Repeat("\x00", (32-len(head)%32)%32+32)
}

func npyOf(descr string) string {
	return string(ingesttest.NPY(descr, false, []int64{1}, make([]byte, 4)))
}

func npzOf(name string) string {
	return string(ingesttest.Zip(ingesttest.Record{Name: name + ".npy", Data: ingesttest.NPY("<f4", false, []int64{1}, make([]byte, 4))}))
}

// tarOf is a tar of empty files.
func tarOf(t *testing.T, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestApart: which files of a folder make one model, which are several, and which are
// pieces.
func TestApart(t *testing.T) {
	const unet = "diffusion_pytorch_model"
	a, b, ab := shard(t, 1, "a"), shard(t, 2, "b"), shard(t, 2, "a", "b")
	of := func(stem string, i, n int, ext string) string {
		return fmt.Sprintf("%s-%05d-of-%05d%s", stem, i, n, ext)
	}
	lora := shard(t, 1, "base_model.model.a.lora_A.weight", "base_model.model.a.lora_B.weight")
	const zero = "zero_pp_rank_0_mp_rank_00_"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  summary
		fails []string // parts of the error; the folder is refused
	}{
		// A variant is what NAME.WORD.ext is beside NAME.ext.
		{"variant", map[string]string{unet + ".safetensors": a, unet + ".fp16.safetensors": b},
			summary{[]string{"a " + unet + ".safetensors"}, []string{"variant " + unet + ".fp16.safetensors"}}, nil},
		{"variant of the usual name", map[string]string{"model.safetensors": a, "model.bf16.safetensors": b},
			summary{[]string{"a model.safetensors"}, []string{"variant model.bf16.safetensors"}}, nil},
		{"two variants, one in two words", map[string]string{"net.pt": a, "net.ema.pt": b, "net.ema.fp16.pt": b},
			summary{[]string{"a net.pt"}, []string{"variant net.ema.fp16.pt", "variant net.ema.pt"}}, nil},
		{"variant in shards", map[string]string{of("m", 1, 2, ".safetensors"): a, of("m", 2, 2, ".safetensors"): b, of("m.fp16", 1, 2, ".safetensors"): a, of("m.fp16", 2, 2, ".safetensors"): a},
			summary{[]string{"a " + of("m", 1, 2, ".safetensors"), "b " + of("m", 2, 2, ".safetensors")}, []string{"variant " + of("m.fp16", 1, 2, ".safetensors")}}, nil},
		{"two variants in shards", map[string]string{"m.bin": a, of("m.a", 1, 2, ".bin"): a, of("m.a", 2, 2, ".bin"): a, of("m.b", 1, 2, ".bin"): a, of("m.b", 2, 2, ".bin"): a},
			summary{[]string{"a m.bin"}, []string{"variant " + of("m.a", 1, 2, ".bin"), "variant " + of("m.b", 1, 2, ".bin")}}, nil},
		{"an index by the name of a variant", map[string]string{of("m.fp16", 1, 2, ".safetensors"): a, of("m.fp16", 2, 2, ".safetensors"): b, "m.safetensors.index.fp16.json": indexOf("a " + of("m.fp16", 1, 2, ".safetensors"))},
			summary{[]string{"a " + of("m.fp16", 1, 2, ".safetensors"), "b " + of("m.fp16", 2, 2, ".safetensors")}, nil}, nil},
		{"variant in shards, as it was once spelled", map[string]string{"m.bin": ab, of("m", 1, 1, ".fp16.bin"): a},
			summary{[]string{"a m.bin", "b m.bin"}, []string{"variant " + of("m", 1, 1, ".fp16.bin")}}, nil},
		{"safetensors of the variant alone", map[string]string{"m.bin": ab, "m.fp16.safetensors": a},
			summary{[]string{"a m.bin", "b m.bin"}, []string{"variant m.fp16.safetensors"}}, nil},
		{"the variant alone", map[string]string{unet + ".fp16.safetensors": a}, summary{Tensors: []string{"a " + unet + ".fp16.safetensors"}}, nil},
		{"two variants of nothing", map[string]string{unet + ".fp16.safetensors": a, unet + ".non_ema.safetensors": a}, summary{}, []string{"holds 2 separate models", "name one"}},
		{"shards an index names", map[string]string{"m.safetensors": a, "m.more.safetensors": b, "m.safetensors.index.json": indexOf("a m.safetensors", "b m.more.safetensors")},
			summary{Tensors: []string{"a m.safetensors", "b m.more.safetensors"}}, nil},
		{"versions are no variants", map[string]string{"v1.pt": a, "v1.5.pt": a}, summary{}, []string{"v1.5.pt, v1.pt; name one"}},

		// Models of their own.
		{"three nets", map[string]string{"pnet.pt": a, "rnet.pt": ab, "onet.pt": b}, summary{}, []string{"holds 3 separate models: onet.pt, pnet.pt, rnet.pt; name one"}},
		{"nothing in common", map[string]string{"unet.safetensors": a, "vae.safetensors": b}, summary{}, []string{"unet.safetensors, vae.safetensors; name one"}},
		{"folds", map[string]string{"fold_0.pth": ab, "fold_1.pth": ab}, summary{}, []string{"fold_0.pth, fold_1.pth; name one"}},
		{"five more extensions", map[string]string{"a.ckpt": a, "b.pth": b, "c.bin": a}, summary{}, []string{"a.ckpt, b.pth, c.bin; name one"}},
		{"several formats", map[string]string{"encoder.safetensors": a, "decoder.pt": b}, summary{}, []string{"encoder.safetensors, decoder.pt; name one"}},
		{"one in two formats", map[string]string{"encoder.safetensors": a, "encoder.pt": b}, summary{[]string{"a encoder.safetensors"}, []string{"other-format encoder.pt"}}, nil},
		{"an adapter beside its base", map[string]string{"model.safetensors": a, "adapter_model.safetensors": shard(t, 1, "base_model.model.a.lora_A.weight", "base_model.model.a.lora_B.weight")},
			summary{[]string{"a model.safetensors"}, []string{"adapter-beside adapter_model.safetensors"}}, nil},
		{"an adapter beside a base of another name", map[string]string{"base.safetensors": a, "lora.safetensors": lora, "lora.pt": "x"},
			summary{[]string{"a base.safetensors"}, []string{"adapter-beside lora.safetensors", "other-format lora.pt"}}, nil},
		{"an adapter beside shards by number", map[string]string{"w.00.safetensors": a, "w.01.safetensors": b, "lora.safetensors": lora},
			summary{[]string{"a w.00.safetensors", "b w.01.safetensors"}, []string{"adapter-beside lora.safetensors", "shards-by-number w.00.safetensors"}}, nil},
		{"two adapters", map[string]string{"one.safetensors": lora, "two.safetensors": lora}, summary{}, []string{"one.safetensors, two.safetensors; name one"}},
		{"an adapter alone", map[string]string{"lora.safetensors": lora}, summary{Tensors: []string{"base_model.model.a.lora_A.weight lora.safetensors", "base_model.model.a.lora_B.weight lora.safetensors"}}, nil},
		{"a GGUF and its projector", map[string]string{"m-Q8_0.gguf": ggufSaying(t, "general.architecture=llama"), "mmproj-m.gguf": ggufSaying(t, "general.architecture=clip", "general.type=mmproj")},
			summary{[]string{"t m-Q8_0.gguf"}, []string{"passed-over mmproj-m.gguf"}}, nil},
		{"an older projector, and a matrix", map[string]string{"m.gguf": ggufSaying(t, "general.architecture=llama", "general.type=model"), "vision.gguf": ggufSaying(t, "general.architecture=clip"), "i.gguf": ggufSaying(t, "general.type=imatrix")},
			summary{[]string{"t m.gguf"}, []string{"passed-over i.gguf", "passed-over vision.gguf"}}, nil},
		{"a split GGUF and its projector", map[string]string{of("m", 1, 2, ".gguf"): ggufPart(t, 0, 2), of("m", 2, 2, ".gguf"): ggufPart(t, 1, 2), "mmproj.gguf": ggufSaying(t, "general.architecture=clip")},
			summary{[]string{"t0 " + of("m", 1, 2, ".gguf"), "t1 " + of("m", 2, 2, ".gguf")}, []string{"passed-over mmproj.gguf"}}, nil},
		{"two GGUFs and a projector", map[string]string{"m-Q4.gguf": ggufSaying(t), "m-Q8.gguf": ggufSaying(t), "mmproj.gguf": ggufSaying(t, "general.architecture=clip")}, summary{}, []string{"holds 2 separate models: m-Q4.gguf, m-Q8.gguf; name one"}},
		{"a projector alone", map[string]string{"mmproj.gguf": ggufSaying(t, "general.architecture=clip")}, summary{Tensors: []string{"t mmproj.gguf"}}, nil},
		{"sets of two models", map[string]string{of("unet", 1, 1, ".safetensors"): a, of("vae", 1, 1, ".safetensors"): b}, summary{}, []string{"holds 2 separate models"}},
		{"usual name in another format", map[string]string{"vae.safetensors": a, "pytorch_model.bin": b}, summary{[]string{"b pytorch_model.bin"}, []string{"other-format vae.safetensors"}}, nil},

		// One model.
		{"shards", map[string]string{of("x", 1, 3, ".safetensors"): a, of("x", 2, 3, ".safetensors"): b, of("x", 3, 3, ".safetensors"): shard(t, 3, "c")},
			summary{Tensors: []string{"a " + of("x", 1, 3, ".safetensors"), "b " + of("x", 2, 3, ".safetensors"), "c " + of("x", 3, 3, ".safetensors")}}, nil},
		{"shards counted from 0", map[string]string{"x_0_of_2.pt": a, "x_1_of_2.pt": b}, summary{Tensors: []string{"a x_0_of_2.pt", "b x_1_of_2.pt"}}, nil},
		{"shards by number", map[string]string{"weights.00.safetensors": a, "weights.01.safetensors": b},
			summary{[]string{"a weights.00.safetensors", "b weights.01.safetensors"}, []string{"shards-by-number weights.00.safetensors"}}, nil},
		{"a number is absent", map[string]string{"weights.00.safetensors": a, "weights.02.safetensors": b}, summary{}, []string{"name one"}},
		{"what training leaves", map[string]string{"net.safetensors": a, "optimizer.pt": "x", "optimizer_1.bin": "x", "training_args.bin": "x", "rng_state_0.pth": "x", "scheduler.pt": "x", "custom_checkpoint_0.pkl": "x", "sampler.bin": "x", "train_state.pth": "x", "training_state.pt": "x"},
			summary{Tensors: []string{"a net.safetensors"}}, nil},
		{"names that begin so", map[string]string{"lossless.pt": a}, summary{Tensors: []string{"a lossless.pt"}}, nil},
		{"no weights in the other", map[string]string{"net.bin": a, "vocab.bin": "\x00\x01words"}, summary{[]string{"a net.bin"}, []string{"unreadable-file vocab.bin"}}, nil},
		{"no tensors in the other", map[string]string{"net.pt": a, "labels.pkl": "\x80\x02}."}, summary{[]string{"a net.pt"}, []string{"passed-over labels.pkl"}}, nil},
		{"no tensors in the other file", map[string]string{"net.safetensors": a, "empty.safetensors": shard(t, 1)}, summary{[]string{"a net.safetensors"}, []string{"passed-over empty.safetensors"}}, nil},
		{"both torn", map[string]string{"x.bin": "torn", "y.bin": "torn"}, summary{}, []string{"x.bin", "y.bin"}},
		{"GGUF split by its metadata", map[string]string{"a.gguf": ggufPart(t, 0, 2), "b.gguf": ggufPart(t, 1, 2)}, summary{Tensors: []string{"t0 a.gguf", "t1 b.gguf"}}, nil},
		{"a part of another GGUF", map[string]string{"a.gguf": ggufPart(t, 0, 2), "b.gguf": ggufPart(t, 1, 3)}, summary{}, []string{"a.gguf, b.gguf; name one"}},
		{"the same part twice", map[string]string{"a.gguf": ggufPart(t, 0, 2), "b.gguf": ggufPart(t, 0, 2)}, summary{}, []string{"a.gguf, b.gguf; name one"}},
		{"one part of a GGUF", map[string]string{"a.gguf": ggufPart(t, 0, 2)}, summary{[]string{"t0 a.gguf"}, []string{"part-of-set a.gguf"}}, nil},
		{"numbered as one more than there are", map[string]string{of("a", 1, 1, ".gguf"): ggufPart(t, 0, 2)}, summary{[]string{"t0 " + of("a", 1, 1, ".gguf")}, []string{"part-of-set " + of("a", 1, 1, ".gguf")}}, nil},
		{"GGUF joined by cat", map[string]string{"a.gguf": ggufPart(t, 0, 2) + ggufPart(t, 1, 2)}, summary{[]string{"t0 a.gguf"}, []string{"another-file a.gguf", "part-of-set a.gguf"}}, nil},
		{"archives joined by cat", map[string]string{"a.npz": npzOf("a") + npzOf("b")}, summary{}, []string{fmt.Sprintf("another zip begins at offset %d, as when cat joins two", len(npzOf("a")))}},
		{"safetensors joined by cat", map[string]string{"a.safetensors": a + b}, summary{}, []string{fmt.Sprintf("another safetensors file begins there, as when cat joins two: the first %d bytes", len(a))}},

		{"arrays, one of text", map[string]string{"w.npy": npyOf("<f4"), "classes.npy": npyOf("<U1")}, summary{[]string{"w w.npy"}, []string{"not-numbers classes.npy"}}, nil},
		{"an array of text alone", map[string]string{"classes.npy": npyOf("<U1")}, summary{}, []string{"classes.npy", "text"}},

		// Pieces.
		{"tensor-parallel, Meta's", map[string]string{"consolidated.00.pth": ab, "consolidated.01.pth": ab}, summary{}, []string{"model parallelism", "consolidated.00.pth, consolidated.01.pth"}},
		{"one of them is the model", map[string]string{"consolidated.00.pth": ab}, summary{Tensors: []string{"a consolidated.00.pth", "b consolidated.00.pth"}}, nil},
		{"tensor-parallel, DeepSeek's", map[string]string{"model0-mp2.safetensors": ab, "model1-mp2.safetensors": ab}, summary{}, []string{"model parallelism"}},
		{"ranks", map[string]string{"model_world_size_2_rank_0.pt": a, "model_world_size_2_rank_1.pt": a}, summary{}, []string{"one for each process"}},
		{"ranks of adapters are none", map[string]string{"lora_rank_16.pt": a, "lora_rank_32.pt": a}, summary{}, []string{"lora_rank_16.pt, lora_rank_32.pt; name one"}},
		{"one tensor in pieces", map[string]string{s1: shard(t, 1, "a"), s2: shard(t, 2, "a")}, summary{}, []string{"pieces of each"}},
		{"split", map[string]string{"m.safetensors.aa": a[:20], "m.safetensors.ab": a[20:]}, summary{}, []string{"m.safetensors.aa, m.safetensors.ab are pieces of one file", "cat"}},
		{"split otherwise", map[string]string{"m.gguf-split-a": "GGUF", "m.gguf-split-b": "x"}, summary{}, []string{"pieces of one file"}},
		{"split, with a count", map[string]string{"m.gguf.part1of2": "GGUF", "m.gguf.part2of2": "x"}, summary{}, []string{"pieces of one file"}},
		{"numbered as shards", map[string]string{s1: shard(t, 1, "a", "b"), s2: shard(t, 2, "a", "b")}, summary{}, []string{"pieces of each", `"a"`, s1, s2}},
		{"copies numbered as shards", map[string]string{s1: shard(t, 1, "a", "b"), s2: shard(t, 1, "a", "b")},
			summary{[]string{"a " + s1, "b " + s1}, []string{"duplicate-tensor " + s2 + " a"}}, nil},
		{"DeepSpeed ZeRO-3", map[string]string{zero + "model_states.pt": a, zero + "optim_states.pt": a}, summary{}, []string{"ZeRO-3", "zero_to_fp32.py"}},
		{"DeepSpeed ZeRO", map[string]string{"bf16_" + zero + "optim_states.pt": a}, summary{}, []string{"DeepSpeed ZeRO", "zero_to_fp32.py"}},
		{"DeepSpeed ZeRO, as it once was spelled", map[string]string{"zero_pp_rank_0_mp_rank_00optim_states.pt": a}, summary{}, []string{"DeepSpeed ZeRO", "zero_to_fp32.py"}},
		{"DeepSpeed's experts", map[string]string{"expert_0_mp_rank_00_model_states.pt": a, "expert_1_mp_rank_00_model_states.pt": b, "mp_rank_00_model_states.pt": a}, summary{}, []string{"one for each process"}},
		{"DeepSpeed ZeRO-2", map[string]string{"mp_rank_00_model_states.pt": a, zero + "optim_states.pt": b},
			summary{[]string{"a mp_rank_00_model_states.pt"}, []string{"optimizer-pieces mp_rank_00_model_states.pt"}}, nil},
		{"DeepSpeed, the folder above", map[string]string{"global_step12/" + zero + "model_states.pt": a, "latest": "global_step12"}, summary{}, []string{"global_step12", "zero_to_fp32.py"}},
		{"Megatron", map[string]string{"iter_1/mp_rank_00/model_optim_rng.pt": a, "iter_1/mp_rank_01/model_optim_rng.pt": a}, summary{}, []string{"mp_rank_00, mp_rank_01", "model parallelism"}},
		{"Megatron, one process", map[string]string{"iter_1/mp_rank_00/model_optim_rng.pt": a}, summary{}, []string{"iter_1/mp_rank_00 holds some: name that"}},

		// Folders.
		{"distributed, one further in", map[string]string{"pytorch_model_fsdp_0/.metadata": "x", "pytorch_model_fsdp_0/__0_0.distcp": "x", "optimizer_0/.metadata": "x", "optimizer_0/__0_0.distcp": "x", "scheduler.pt": "x"},
			summary{}, []string{"its folder pytorch_model_fsdp_0 holds some: name that"}},
		{"trainer's", map[string]string{"checkpoint-5/model.safetensors": a, "checkpoint-10/model.safetensors": a, "trainer_state.json": "{}"}, summary{}, []string{"its folders checkpoint-10, checkpoint-5 hold some: name one"}},
		{"pieces beside the whole", map[string]string{"a/" + zero + "model_states.pt": a, "final/model.safetensors": a, ".cache/model.safetensors": a}, summary{}, []string{"its folder final holds some: name that"}},
		{"two further in", map[string]string{"version_0/checkpoints/last.ckpt": a}, summary{}, []string{"version_0/checkpoints holds some: name that"}},
		{"folder called as a file", map[string]string{"last.ckpt/checkpoint/" + zero + "model_states.pt": a}, summary{}, []string{"last.ckpt/checkpoint", "zero_to_fp32.py"}},

		// By content.
		{"no extension", map[string]string{"weights": a, "README": "x", "config.json": "{}"}, summary{Tensors: []string{"a weights"}}, nil},
		{"any extension", map[string]string{"weights.dat": a, "tokenizer.model": "\x0a\x0e\x0a\x05<unk>"}, summary{Tensors: []string{"a weights.dat"}}, nil},
		{"a zip of something", map[string]string{"logs.zip": "PK\x03\x04", "sub/x.pt": a}, summary{}, []string{"sub holds some"}},
		{"an archive of NeMo", map[string]string{"m.nemo": tarOf(t, "./model_config.yaml", "./model_weights.ckpt")}, summary{}, []string{"./model_weights.ckpt", "unpack it"}},
		{"packed by gzip", map[string]string{"m.nemo": "\x1f\x8b\x08"}, summary{}, []string{"m.nemo: compressed with gzip"}},
		{"called as weights", map[string]string{"tf.bin": "\x89HDF\r\n\x1a\n"}, summary{}, []string{"tf.bin: an HDF5 file"}},
		{"of ONNX", map[string]string{"model.onnx": "\x08\x07\x12\x07pytorch", "config.json": "{}"}, summary{}, []string{"model.onnx: a model of ONNX, which wreg does not read; take the safetensors or torch files"}},
		{"of ONNX, in two", map[string]string{"MODEL.ONNX": "\x08\x07", "model.onnx_data": "\x00\x01"}, summary{}, []string{"MODEL.ONNX: a model of ONNX", "model.onnx_data: a model of ONNX"}},
		{"of TensorFlow Lite", map[string]string{"weights": "\x1c\x00\x00\x00TFL3\x00"}, summary{}, []string{"weights: a model of TensorFlow Lite"}},
		{"of Flax", map[string]string{"flax_model.msgpack": "\xde\x00\x10"}, summary{}, []string{"flax_model.msgpack: weights of Flax"}},
		{"of OpenVINO", map[string]string{"openvino_model.bin": "\x01\x02\x03\x04\x05\x06\x07\x08\x09", "openvino_model.xml": "<xml/>"}, summary{}, []string{"openvino_model.bin: weights of OpenVINO"}},
		{"of TensorFlow, beside weights", map[string]string{"tf_model.h5": "\x89HDF\r\n\x1a\n", "model.onnx": "\x08\x07", "model.safetensors": a}, summary{Tensors: []string{"a model.safetensors"}}, nil},
		{"two by content", map[string]string{"a.model": a, "b.weights": b}, summary{}, []string{"a.model, b.weights; name one"}},
		{"names go first", map[string]string{"net.pt": a, "b.weights": b}, summary{Tensors: []string{"a net.pt"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, c.files)
			o, err := Open(t.Context(), dir, Options{})
			for _, part := range c.fails {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error %v, want %q in it", err, part)
				}
			}
			if err != nil && len(c.fails) == 0 {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			defer o.Close()
			if d := cmp.Diff(c.want, summarize(o)); d != "" && c.fails == nil {
				t.Error(d)
			}
		})
	}
}

// TestPieceByName: a piece that is named is read, and called what it is.
func TestPieceByName(t *testing.T) {
	dir := t.TempDir()
	const zero = "zero_pp_rank_0_mp_rank_00_optim_states.pt"
	writeFiles(t, dir, map[string]string{"consolidated.00.pth": shard(t, 1, "a"), "consolidated.01.pth": shard(t, 1, "a"), "one/consolidated.00.pth": shard(t, 1, "a"), "two/" + zero: shard(t, 1, "a")})
	for name, want := range map[string]string{"consolidated.01.pth": "model parallelism", "one/consolidated.00.pth": "", "two/" + zero: "DeepSpeed ZeRO"} {
		c, err := Open(t.Context(), filepath.Join(dir, name), Options{})
		if err != nil {
			t.Fatal(err)
		}
		found := c.Findings()
		if (len(found) > 0) != (want != "") || want != "" && (found[0].Rule != "part-of-set" || !strings.Contains(found[0].Message, want)) {
			t.Errorf("%s: %v, want %q", name, found, want)
		}
		c.Close()
	}
}

// TestVariantIndex: the index of a variant decides where it is named.
func TestVariantIndex(t *testing.T) {
	dir := t.TempDir()
	const one, index = "m.fp16-00001-of-00001.safetensors", "m.safetensors.index.fp16.json"
	writeFiles(t, dir, map[string]string{"m.safetensors": shard(t, 1, "a"), one: shard(t, 2, "a"), index: indexOf("a " + one)})
	for name, want := range map[string]summary{
		"":    {[]string{"a m.safetensors"}, []string{"variant " + one}},
		index: {Tensors: []string{"a " + one}},
	} {
		c, err := Open(t.Context(), filepath.Join(dir, name), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, summarize(c)); d != "" {
			t.Errorf("%q: %s", name, d)
		}
		c.Close()
	}
}
