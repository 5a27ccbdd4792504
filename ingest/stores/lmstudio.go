package stores

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wreg/ingest/place"
	"wreg/ingest/regular"
)

// LMStudioScheme begins the addresses of models that LM Studio keeps: folders, PUBLISHER/NAME.
const LMStudioScheme = "lmstudio://"

// maxPointer bounds the file that says where LM Studio lies.
const maxPointer = 4096

// LMStudio is the path of a model, or of a file of it, that an address names. LM Studio keeps
// plain folders, so that the path is all there is to know.
func LMStudio(address string) (string, error) {
	want := fmt.Errorf("%s: want %sPUBLISHER/NAME, or a file of it", strings.ToValidUTF8(address, "?"), LMStudioScheme)
	text := strings.TrimSuffix(address[len(LMStudioScheme):], "/")
	if place.CheckName(text) != nil || strings.Count(text, "/") < 1 || len(text) > maxAddress {
		return "", want
	}
	homes, err := lmStudioHomes()
	if err != nil {
		return "", fmt.Errorf("%s: %w", address, err)
	}
	var names []string
	for _, dir := range homes {
		path := filepath.Join(dir, filepath.FromSlash(text))
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		found, err := filepath.Glob(filepath.Join(escaped(dir), "*", "*"))
		if err != nil {
			return "", err
		}
		for _, f := range found[:min(len(found), maxNames)] {
			rel, err := filepath.Rel(dir, f)
			if err != nil {
				return "", err
			}
			names = append(names, filepath.ToSlash(rel))
		}
	}
	slices.Sort(names)
	return "", fmt.Errorf("%s: LM Studio has no such model in %s%s To fetch it type: lms get %s", address, strings.Join(homes, " or "), ended(place.DidYouMean(text, names)), text)
}

// escaped is a path that filepath.Glob takes as it is. On Windows, where a backslash separates, it has no escape.
func escaped(dir string) string {
	if filepath.Separator == '\\' {
		return dir
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// lmStudioHomes are the folders of models: of the home that LM Studio wrote down, then of where it was and is.
func lmStudioHomes() ([]string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	var homes []string
	text, err := regular.Read(filepath.Join(home, ".lmstudio-home-pointer"), maxPointer)
	if at := strings.TrimSpace(string(text)); err == nil && filepath.IsAbs(at) {
		homes = append(homes, filepath.Join(at, "models"))
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, dir := range []string{filepath.Join(home, ".lmstudio", "models"), filepath.Join(home, ".cache", "lm-studio", "models")} {
		if !slices.Contains(homes, dir) {
			homes = append(homes, dir)
		}
	}
	return homes, nil
}
