package stack

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed overlay/kustomization.yaml
var overlayTemplate string

// renderOverlay writes the overlay on base (a kustomization folder) into the
// folder dir. Its one change: the API server reaches the webhook at url and
// trusts caPEM.
func renderOverlay(dir, base, url string, caPEM []byte) error {
	parsed, err := template.New("overlay").Option("missingkey=error").Parse(overlayTemplate)
	if err != nil {
		return fmt.Errorf("parsing the overlay: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("creating the overlay's folder: %w", err)
	}
	relative, err := relativePath(dir, base)
	if err != nil {
		return err
	}
	var rendered bytes.Buffer
	if err := parsed.Execute(&rendered, map[string]string{
		"Base":     relative,
		"URL":      url,
		"CABundle": base64.StdEncoding.EncodeToString(caPEM),
	}); err != nil {
		return fmt.Errorf("rendering the overlay: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), rendered.Bytes(), 0o600); err != nil {
		return fmt.Errorf("writing the overlay: %w", err)
	}
	return nil
}

// relativePath leads from the folder from to the folder to: kustomize takes no
// absolute path, and resolves links before it follows a relative one.
func relativePath(from, to string) (string, error) {
	var resolved [2]string
	for i, path := range []string{from, to} {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return "", fmt.Errorf("resolving %s: %w", path, err)
		}
		if resolved[i], err = filepath.EvalSymlinks(absolute); err != nil {
			return "", fmt.Errorf("resolving %s: %w", path, err)
		}
	}
	relative, err := filepath.Rel(resolved[0], resolved[1])
	if err != nil {
		return "", fmt.Errorf("finding the way from %s to %s: %w", from, to, err)
	}
	return relative, nil
}
