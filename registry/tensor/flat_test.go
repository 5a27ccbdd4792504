package tensor

import (
	"strings"
	"testing"
)

func TestFlatOf(t *testing.T) {
	for path, whose := range map[string]string{
		"_fsdp_wrapped_module._flat_param":                                     "FSDP",
		"_fsdp_wrapped_module.model.layers.0._fsdp_wrapped_module._flat_param": "FSDP",
		"layers.0._fpw_module.flat_param_0":                                    "FSDP",
		"flat_param":                                                           "FSDP",
		"optimizer_state_dict.fp32_flat_groups.0":                              "DeepSpeed",
		"optimizer_state_dict.single_partition_of_fp32_groups.1":               "DeepSpeed",
		"model.flat_param.weight":                                              "",
		"flat_params_head":                                                     "",
		"layers.0.weight":                                                      "",
	} {
		got := ""
		if f := FlatOf(path); f != nil {
			got = f.Whose
		}
		if (got == "") != (whose == "") || !strings.HasPrefix(got, whose) {
			t.Errorf("%s: %q, want %q", path, got, whose)
		}
	}
}
