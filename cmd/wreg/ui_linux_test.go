package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// uiPeak bounds the memory of wreg ui with a model of a few hundred tensors. docs/ui.md says what large
// ones take.
const uiPeak = 256 << 20

// A thousand queries at the same time are all answered in bounded memory, a writer gets in between
// them, and the first signal ends the server as it should: exit 0, nothing left behind.
func TestUIUnderLoad(t *testing.T) {
	t.Parallel()
	p := newProcess(t)
	for _, args := range [][]string{{"synth", "--arch", "hunyuan", "--layers", "4", "--experts", "16", "--out", "m"}, {"ingest", "m"}} {
		if out, err := p.command(t.Context(), args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	status := filepath.Join(p.dir, "status")
	c := p.command(t.Context(), "ui", "m", "--idle", "0")
	c.Env = append(c.Env, "WREG_TEST_STATUS="+status)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(strings.TrimSpace(line))
	if err != nil || at.Hostname() != "127.0.0.1" || at.Path != "/model/m@1" || len(at.Query().Get("token")) != 64 {
		t.Fatalf("the address is %q, %v", line, err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
	get := func(path string) (int, string) {
		res, err := client.Get("http://" + at.Host + path)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer res.Body.Close()
		page, err := io.ReadAll(res.Body)
		if err != nil {
			t.Error(err)
		}
		return res.StatusCode, string(page)
	}
	if code, page := get(at.RequestURI()); code != http.StatusOK {
		t.Fatalf("the token: %d\n%s", code, page)
	}
	queries := []string{"find * in m", "find *.weight in m where layer < 9 order by bytes desc", "gaps in m", "find * in m group by dtype select dtype, count()", "find * wher"}
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			q := queries[i%len(queries)]
			if code, page := get("/query?" + url.Values{"q": {q}}.Encode()); code != http.StatusOK || !strings.Contains(page, "</html>") {
				t.Errorf("%s: %d\n%s", q, code, page)
			}
		})
	}
	for i := range 3 { // a writer has 5 s
		if out, err := p.command(t.Context(), "ingest", "m", "--name", fmt.Sprint("n", i)).CombinedOutput(); err != nil {
			t.Errorf("while pages are made: %v\n%s", err, out)
		}
	}
	all.Wait()
	if code, page := get("/"); code != http.StatusOK || !strings.Contains(page, "n2@1") {
		t.Errorf("what was written is not shown: %d\n%s", code, page)
	}
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("^C: %v", err)
	}
	text, err := os.ReadFile(status)
	if err != nil {
		t.Fatal(err)
	}
	var peak int64
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	if _, err := fmt.Sscan(rest, &peak); err != nil || peak<<10 > uiPeak {
		t.Errorf("it took %d MiB, %v", peak>>10, err)
	}
	t.Logf("%d MiB", peak>>10)
}
