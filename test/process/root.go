package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// module is the module whose go.mod marks the root of the repository.
const module = "github.com/ensure-volumes/ensure-volumes"

// Root finds the repository's root folder from the current folder upwards.
func Root() (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(content), "module "+module+"\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("finding the repository: no folder from %s upwards holds the go.mod of %s", here, module)
		}
	}
}
