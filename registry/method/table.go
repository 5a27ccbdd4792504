package method

import "wreg/registry/tensor"

// form is one way to store a weight. Its names are spelled relative to the weight's
// path: "/SCB" lies beside a tensor called weight (x.weight, x.SCB), "/_*_qdata" beside
// any (x.w, x._w_qdata); anything else is appended to the path (.absmax, _scale).
type form struct {
	by    []string       // whose it is; of several, config.json says which
	kind  string         // which of theirs
	codes []string       // where the codes may lie; none: under the weight's own name
	types []tensor.DType // of the codes; none: any
	marks []string       // one of them must be there; none: codes say enough
	scale []tensor.DType // of the first mark; none: any
	parts []string       // what else belongs to the weight, and to nothing but packed weights
	loose []string       // the same, under names that others use as well
}

var (
	bytesOrWords = []tensor.DType{tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.I32, tensor.U32}
	fp8          = []tensor.DType{tensor.F8E4M3, tensor.F8E5M2, tensor.F8E4M3FNUZ, tensor.F8E5M2FNUZ}
	fp4Bytes     = []tensor.DType{tensor.U8, tensor.I8, tensor.F4, tensor.F4x2}
	scaleBytes   = []tensor.DType{tensor.U8, tensor.F8E8M0}
	activations  = []string{"/input_scale", "/output_scale", "/input_zero_point", "/output_zero_point", "/activation_scale", "/input_scale_ub", "/input_global_scale",
		"/k_scale", "/v_scale", "/q_scale", "/scale_input", "/activation_scaling_factor", "/input_activation_scale", "/output_activation_scale", "/act_global_scale",
		"_input_scale", "_activation_scale"}
)

// forms are looked through in order: what says more of itself comes first.
var forms = []form{
	{by: []string{"bitsandbytes"}, kind: "nf4", marks: []string{".quant_state.bitsandbytes__nf4"}, parts: blockwise},
	{by: []string{"bitsandbytes"}, kind: "fp4", marks: []string{".quant_state.bitsandbytes__fp4"}, parts: blockwise},
	{by: []string{"bitsandbytes"}, marks: []string{".absmax", ".quant_map"}, parts: blockwise},
	{by: []string{"bitsandbytes"}, kind: "int8", types: bytesOrWords, marks: []string{"/SCB", ".SCB"}, parts: []string{"/weight_format", ".weight_format"}},

	{by: []string{"optimum-quanto"}, codes: []string{"._data", "._data._data"}, parts: []string{"._scale", "._shift", "._zeropoint"}, loose: activations},
	{by: []string{"HQQ", "SINQ"}, codes: []string{"/W_q"}, loose: []string{"/scale_q", "/zero_q", "/unpack_view_dtype", "/view_as_float", "/quant_scale", "/quant_zero", "/channel_wise",
		"/stores_quant_config", "/encoded_state_dict", "/offload_meta", "/compute_dtype",
		"/meta", "/meta.*", "/scale", "/zero", "/nbits", "/group_size", "/shape", "/axis", "/packing", "/optimize", "/round_zero", "/meta_scale", "/meta_zero"}},
	{by: []string{"torchao"}, codes: []string{"/_*_qdata", ":qdata", ".qdata", ".int_data", ".tensor_impl.int_data", ".tensor_impl.packed_weight", ".layout_tensor.int_data", ".layout_tensor.packed_weight"},
		parts: []string{"/_*_scale", "/_*_zero_point", "/_*_scale_and_zero", "/_*_per_tensor_scale", "/_*_act_pre_scale", ":scale", ":zero_point", ":scale_and_zero",
			".tensor_impl.*", ".layout_tensor.*"},
		loose: []string{".scale", ".zero_point", ".scale_and_zero"}},
	{by: []string{"AQLM"}, codes: []string{"/codes"}, marks: []string{"/codebooks"}, loose: []string{"/scales"}},
	{by: []string{"VPTQ"}, codes: []string{"/indices"}, marks: []string{"/centroids.weight", "/centroids"},
		loose: []string{"/res_centroids.weight", "/res_centroids", "/res_indices", "/outlier_centroids.weight", "/outlier_centroids", "/outlier_indices", "/perm", "/weight_bias", "_scale"}},
	{by: []string{"SpQR"}, codes: []string{"/dense_weights"}, parts: []string{"/row_offsets", "/col_vals", "/in_perm", "/dense_weights.*"}},
	{by: []string{"QuIP#"}, codes: []string{"/Qidxs", "/Qidxs_0"}, parts: []string{"/Wscale", "/codebook_id", "/Qidxs_1", "/Qidxs_2"}, loose: []string{"/SU", "/SV", "/fuse_scales", "/rcp", "/A", "/B"}},
	{by: []string{"ExLlamaV2"}, codes: []string{"/q_weight"}, parts: []string{"/q_scale_max", "/q_groups", "/q_group_map", "/q_perm", "/q_invperm"}, loose: []string{"/q_scale"}},
	{by: []string{"ExLlamaV3"}, codes: []string{"/trellis"}, parts: []string{"/suh", "/svh", "/mcg", "/mul1"}, loose: []string{"/su", "/sv"}},
	{by: []string{"QQQ"}, codes: []string{"/B"}, marks: []string{"/s_channel", "/s_group"}, loose: []string{"/workspace"}},
	{by: []string{"Marlin", "GPTQ"}, codes: []string{"/B"}, marks: []string{"/s"}, loose: []string{"/workspace", "/zp", "/B_meta", "/meta"}},

	{by: []string{"SqueezeLLM"}, codes: []string{"/qweight"}, marks: []string{"/lookup_table"}, loose: []string{"/rows", "/cols", "/vals", "/full_rows", "/full_row_indices", "/startrows"}},
	{by: []string{"FP-Quant"}, codes: []string{"/qweight", "/dqweight"}, marks: []string{"/forward_hadamard_matrix", "/backward_hadamard_matrix"}, parts: []string{"/weight_global_scale"}, loose: append([]string{"/scales"}, activations...)},
	{by: []string{"GPTQ", "AWQ", "AutoRound"}, codes: []string{"/qweight"}, parts: []string{"/qzeros", "/g_idx", "/qscales"}, loose: []string{"/scales", "/workspace", "/perm"}},

	{by: []string{"compressed-tensors"}, kind: "NVFP4", codes: []string{"_packed"}, types: fp4Bytes, marks: []string{"_global_scale"}, parts: packed, loose: activations},
	{by: []string{"compressed-tensors"}, kind: "MXFP4", codes: []string{"_packed"}, types: fp4Bytes, marks: []string{"_scale"}, scale: scaleBytes, parts: packed, loose: activations},
	{by: []string{"compressed-tensors"}, codes: []string{"_packed"}, parts: packed, loose: append([]string{"/scale_packed", "/meta"}, activations...)},
	{by: []string{"compressed-tensors"}, kind: "sparse", codes: []string{".compressed", "/compressed"}, marks: []string{".bitmask", "/bitmask"}, parts: []string{".row_offsets"}, loose: []string{".shape", "/row_offsets", "/shape"}},

	{by: []string{"MXFP4"}, codes: []string{"_blocks"}, marks: []string{"_scales"}},
	{by: []string{"ModelOpt"}, kind: "NVFP4", types: fp4Bytes, marks: []string{"_scale"}, scale: fp8, parts: modelOpt, loose: activations},
	{by: []string{"ModelOpt"}, types: append(bytesOrWords, fp8...), marks: []string{"_scale_2", "/pre_quant_scale"}, parts: append([]string{"_scale"}, modelOpt...), loose: activations},
	{by: []string{"Quark", "ModelOpt", "compressed-tensors"}, kind: "MXFP4", types: fp4Bytes, marks: []string{"_scale"}, scale: scaleBytes, parts: modelOpt, loose: activations},
	{by: []string{"TensorRT-LLM"}, types: append(bytesOrWords, fp8...), marks: []string{"/weights_scaling_factor"}, parts: []string{"/prequant_scaling_factor", "/weights_scaling_factor_2", "/activation_scaling_factor"}},
	{by: []string{"transformers' metal"}, types: []tensor.DType{tensor.U32}, marks: []string{"/qbiases"}, loose: []string{"/scales"}},
	{by: []string{"HIGGS"}, types: bytesOrWords, marks: []string{"/tables2", "/tables"}, loose: []string{"/scales", "/workspace"}},
	{by: []string{"EETQ"}, types: bytesOrWords, marks: []string{"/weight_scales"}},

	{by: []string{"fp8", "compressed-tensors", "ModelOpt", "FBGEMM", "Quark", "torchao"}, types: fp8, marks: []string{"_scale", "_scale_inv", "/scale_weight", "/scale_inv", "/scale", "/scales", ".scale", "_scales"}, parts: packed, loose: activations},
	{by: []string{"BitNet", "compressed-tensors", "Quark", "ModelOpt"}, types: []tensor.DType{tensor.U8}, marks: []string{"_scale"}, parts: packed, loose: activations},
	{by: []string{"compressed-tensors", "Quark", "ModelOpt", "SmoothQuant"}, types: bytesOrWords, marks: []string{"_scale", ".scale", "_scales"}, parts: packed, loose: append([]string{".zero_point"}, activations...)},
}

var (
	blockwise = []string{".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", ".quant_state.*"}
	packed    = []string{"_scale", "_zero_point", "_g_idx", "_shape", "_global_scale", "_scale_inv", "_zp", "/scale_weight", "/weight_quantizer.*", "/input_quantizer.*"}
	modelOpt  = []string{"_scale_2", "/pre_quant_scale", "/weight_quantizer.*", "/input_quantizer.*"}
)

// orders are the parts that a reader of scales alone would read other numbers without.
var orders = []string{"_zero_point", "_g_idx", "_global_scale", "_scale_2", "/g_idx", "/pre_quant_scale"}

// names are how people call what config.json's quant_method or quant_algo says.
var names = map[string]string{
	"bitsandbytes": "bitsandbytes", "bitsandbytes_4bit": "bitsandbytes", "bitsandbytes_8bit": "bitsandbytes", "quanto": "optimum-quanto", "hqq": "HQQ", "sinq": "SINQ", "torchao": "torchao",
	"aqlm": "AQLM", "vptq": "VPTQ", "spqr": "SpQR", "quip": "QuIP#", "exl2": "ExLlamaV2", "exl3": "ExLlamaV3", "qqq": "QQQ", "marlin": "Marlin",
	"squeezellm": "SqueezeLLM", "fp_quant": "FP-Quant", "gptq": "GPTQ", "awq": "AWQ", "auto-round": "AutoRound", "intel/auto-round": "AutoRound", "gptq_marlin": "GPTQ", "awq_marlin": "AWQ",
	"compressed-tensors": "compressed-tensors", "modelopt": "ModelOpt", "modelopt_fp4": "ModelOpt", "nvfp4": "ModelOpt", "quark": "Quark", "higgs": "HIGGS", "eetq": "EETQ",
	"fbgemm_fp8": "FBGEMM", "fp8": "fp8", "bitnet": "BitNet", "mxfp4": "MXFP4", "metal": "transformers' metal", "smoothquant": "SmoothQuant",
}
