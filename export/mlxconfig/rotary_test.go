package mlxconfig

import (
	"strings"
	"testing"

	"wreg/registry/pyjson"
)

// What transformers 5 keeps in rope_parameters is written where modules of mlx_lm look.
func TestFlatten(t *testing.T) {
	for _, c := range []struct{ in, keys, want string }{
		{`{"model_type":"llama","rope_parameters":{"rope_theta":500000.0,"rope_type":"default"}}`, "rope_theta", `"rope_theta": 500000.0`},
		{`{"model_type":"llama","rope_theta":1.0,"rope_parameters":{"rope_theta":500000.0,"rope_type":"default"}}`, "", `"rope_theta": 1.0`},
		{`{"model_type":"llama","rope_parameters":{"rope_theta":5.0,"rope_type":"llama3","factor":8.0}}`, "rope_theta rope_scaling", `"rope_scaling": {"rope_type": "llama3", "factor": 8.0}`},
		{`{"model_type":"phi","rope_parameters":{"partial_rotary_factor":0.5}}`, "partial_rotary_factor", `"partial_rotary_factor": 0.5`},
		{`{"model_type":"x","text_config":{"rope_parameters":{"rope_theta":2.0}}}`, "rope_theta", `"text_config": {"rope_parameters": {"rope_theta": 2.0}, "rope_theta": 2.0}`},
		{`{"model_type":"qwen3","rope_parameters":{"rope_theta":2.0}}`, "", ``},
		{`{"model_type":"llama","rope_parameters":{"full_attention":{"rope_theta":2.0}}}`, "", ``},
		{`{"model_type":"llama","rope_parameters":null}`, "", ``},
		{`{"model_type":"llama"}`, "", ``},
	} {
		doc, err := pyjson.Parse([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		keys := strings.Join(Flatten(doc), " ")
		text, _ := doc.Python()
		flat := strings.Join(strings.Fields(string(text)), " ")
		flat = strings.NewReplacer("{ ", "{", " }", "}").Replace(flat)
		if keys != c.keys || !strings.Contains(flat, c.want) {
			t.Errorf("%s: wrote %q: %s", c.in, keys, flat)
		}
	}
}
