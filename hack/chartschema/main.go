// Command chartschema makes charts/wechatbot/values.schema.json from the CRD of WechatBots, so that every field of a
// spec is a value, and helm refuses what the API server would. What the chart fills in itself is not required of values.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: chartschema CRD.yaml >values.schema.json")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chartschema:", err)
		os.Exit(1)
	}
}

// crd is what is read of a CustomResourceDefinition.
type crd struct {
	Spec struct {
		Versions []struct {
			Storage bool `json:"storage"`
			Schema  struct {
				OpenAPIV3Schema struct {
					Properties map[string]map[string]any `json:"properties"`
				} `json:"openAPIV3Schema"`
			} `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
}

func run(path string, out io.Writer) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the CRD: %w", err)
	}
	spec, err := specSchema(content)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(valuesSchema(spec)); err != nil {
		return fmt.Errorf("writing the schema: %w", err)
	}
	return nil
}

// specSchema gives the JSON schema of a bot's spec as values of the chart.
func specSchema(content []byte) (map[string]any, error) {
	var c crd
	if err := yaml.Unmarshal(content, &c); err != nil {
		return nil, fmt.Errorf("parsing the CRD: %w", err)
	}
	for _, version := range c.Spec.Versions {
		spec, ok := version.Schema.OpenAPIV3Schema.Properties["spec"]
		if !version.Storage || !ok {
			continue
		}
		convert(spec)
		optional(spec, "tokenSecretRef", "dify")
		properties, _ := spec["properties"].(map[string]any)
		dify, ok := properties["dify"].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("the spec has no field dify")
		}
		optional(dify, "apiKeySecretRef")
		return spec, nil
	}
	return nil, fmt.Errorf("no stored version with a spec")
}

// convert makes a schema of the API server one of JSON: without its extensions, and refusing unknown fields where the
// API server would.
func convert(node map[string]any) {
	open, _ := node["x-kubernetes-preserve-unknown-fields"].(bool)
	for key := range node {
		if strings.HasPrefix(key, "x-kubernetes-") {
			delete(node, key)
		}
	}
	if properties, ok := node["properties"].(map[string]any); ok {
		for _, property := range properties {
			if schema, ok := property.(map[string]any); ok {
				convert(schema)
			}
		}
		if _, has := node["additionalProperties"]; !has && !open {
			node["additionalProperties"] = false
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if schema, ok := node[key].(map[string]any); ok {
			convert(schema)
		}
	}
}

// optional takes fields off the required ones.
func optional(node map[string]any, fields ...string) {
	required, _ := node["required"].([]any)
	required = slices.DeleteFunc(required, func(field any) bool {
		name, _ := field.(string)
		return slices.Contains(fields, name)
	})
	if len(required) == 0 {
		delete(node, "required")
		return
	}
	node["required"] = required
}

func valuesSchema(spec map[string]any) map[string]any {
	closed := func(properties map[string]any) map[string]any {
		return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	}
	text := func(pattern string) map[string]any { return map[string]any{"type": "string", "pattern": pattern} }
	texts := map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}}
	secret := map[string]any{"type": "string"} // without a pattern: helm's message would show the value
	const optionalName = "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$"
	schema := closed(map[string]any{
		"global":           map[string]any{"type": "object", "description": "Values of a parent chart; not used."},
		"fullnameOverride": text(`^([a-z]([a-z0-9-]{0,50}[a-z0-9])?)?$`),
		"commonLabels":     texts,
		"annotations":      texts,
		"existingSecret":   text(optionalName),
		"secret": closed(map[string]any{
			"token": secret, "difyKey": secret, "encodingAESKey": secret, "appSecret": secret, "redisPassword": secret,
		}),
		"spec": spec,
	})
	schema["$schema"] = "http://json-schema.org/draft-07/schema#"
	schema["title"] = "Values of the chart wechatbot; made from the CRD by hack/generate.sh"
	schema["required"] = []string{"spec"}
	return schema
}
