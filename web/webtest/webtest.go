//go:build browser

package webtest

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience ends a test whose browser hangs: it bounds nothing else.
const patience = 2 * time.Minute

// browsers are the names that Chromium goes by, where it is installed.
var browsers = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}

// Look is how a page is shown.
type Look struct {
	Width, Height int    // of the window; 0: 1280 by 900
	Dark          bool   // what the system prefers
	Media         string // "print", or "" for a screen
}

// Page is a page that is open in a tab of its own.
type Page struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	requests []string
	faults   []string
}

// Open starts a browser and loads a page. It ends with the test.
func Open(t *testing.T, url string, look Look) *Page {
	t.Helper()
	path := ""
	for _, name := range browsers {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatalf("no browser for the tests of pages: install Debian's package chromium (make setup does), which gives one of %s", strings.Join(browsers, ", "))
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.Env("TMPDIR="+t.TempDir())) // a browser that is killed leaves files there
	if os.Geteuid() == 0 { // as in a container of continuous integration
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	p := &Page{t: t}
	p.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(p.listen))
	t.Cleanup(cancel)
	p.Show(look)
	_, err := chromedp.Call(p.ctx, network.Enable, network.EnableParams{})
	if err == nil { // as if the window were in front
		_, err = chromedp.Call(p.ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Visit(url)
	return p
}

// Visit loads another page in the same tab; what was asked and said before is forgotten.
func (p *Page) Visit(url string) {
	p.t.Helper()
	p.mu.Lock()
	p.requests, p.faults = nil, nil
	p.mu.Unlock()
	p.Do(chromedp.Navigate(url))
}

func (p *Page) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *network.EventWebSocketCreated:
		p.requests = append(p.requests, e.URL)
	case *log.EventEntryAdded:
		p.faults = append(p.faults, fmt.Sprintf("%s: %s: %s", e.Entry.Level, e.Entry.Source, e.Entry.Text))
	case *runtime.EventExceptionThrown:
		p.faults = append(p.faults, "exception: "+e.ExceptionDetails.Text+" "+described(e.ExceptionDetails.Exception))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			for _, arg := range e.Args {
				p.faults = append(p.faults, fmt.Sprintf("console.%s: %s", e.Type, described(arg)))
			}
		}
	case *page.EventJavascriptDialogOpening:
		p.faults = append(p.faults, "dialog: "+e.Message)
		go chromedp.Call(p.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{}) // the page would wait
	}
}

func described(o *runtime.RemoteObject) string {
	if o == nil {
		return ""
	}
	return o.Description + string(o.Value)
}

// Show changes the window, what the system prefers, and the medium.
func (p *Page) Show(look Look) {
	p.t.Helper()
	if look.Width == 0 {
		look.Width, look.Height = 1280, 900
	}
	scheme := "light"
	if look.Dark {
		scheme = "dark"
	}
	p.Do(chromedp.EmulateViewport(int64(look.Width), int64(look.Height)))
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: look.Media, Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	if err != nil {
		p.t.Fatal(err)
	}
}

// Do runs actions of chromedp.
func (p *Page) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatalf("%v; the console says: %s", err, strings.Join(p.Faults(), "; "))
	}
}

func get[T any](p *Page, action chromedp.Action[T]) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, action)
	if err != nil {
		p.t.Fatalf("%v; the console says: %s", err, strings.Join(p.Faults(), "; "))
	}
	return v
}

// Until waits for an expression to become true, of whatever page is there by then.
func (p *Page) Until(expression string) {
	p.t.Helper()
	for {
		err := chromedp.Do(p.ctx, chromedp.Poll[chromedp.Void](expression))
		if err != nil && (strings.Contains(err.Error(), "Cannot find context") || strings.Contains(err.Error(), "navigated")) {
			continue // the page made way for another
		}
		if err != nil {
			p.t.Fatalf("%s: %v; the console says: %s", expression, err, strings.Join(p.Faults(), "; "))
		}
		return
	}
}

// Eval gives the value of an expression, of a type that JSON has.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	return get(p, chromedp.Evaluate[T](expression))
}

// Key presses keys, or types text, as a keyboard does: what a page does with a key is
// done before its character is, which it can prevent.
func (p *Page) Key(keys ...string) {
	p.t.Helper()
	for _, r := range strings.Join(keys, "") {
		down := kb.Encode(r)
		for _, k := range down {
			if k.Type == kb.KeyChar {
				down[0].Text, down[0].UnmodifiedText = k.Text, k.UnmodifiedText
			}
		}
		for _, k := range down {
			if k.Type == kb.KeyChar {
				continue
			}
			if _, err := chromedp.Call(p.ctx, input.DispatchKeyEvent, *k); err != nil {
				p.t.Fatal(err)
			}
		}
	}
}

// Keys by their names.
const (
	Tab, Enter, Escape    = kb.Tab, kb.Enter, kb.Escape
	Up, Down, Left, Right = kb.ArrowUp, kb.ArrowDown, kb.ArrowLeft, kb.ArrowRight
	Home, End, PageDown   = kb.Home, kb.End, kb.PageDown
)

// Copied is what the clipboard gets as text when all that a selector finds is copied: as the page
// has it, or as its program does.
func (p *Page) Copied(selector string) string {
	p.t.Helper()
	return Eval[string](p, `(() => { const from = document.querySelector(`+strconv.Quote(selector)+`); getSelection().selectAllChildren(from);
		const e = new ClipboardEvent("copy", { clipboardData: new DataTransfer(), bubbles: true, cancelable: true }); from.dispatchEvent(e);
		return e.defaultPrevented ? e.clipboardData.getData("text/plain") : String(getSelection()); })()`)
}

// Formulas are the cells of a copied text that a spreadsheet would run.
func Formulas(copied string) (cells []string) {
	for _, cell := range strings.FieldsFunc(copied, func(r rune) bool { return r == '\t' || r == '\n' }) {
		if first := strings.TrimLeft(cell, " "); first != "" && strings.ContainsAny(first[:1], "=+-@") {
			if _, err := strconv.ParseFloat(first, 64); err != nil {
				cells = append(cells, cell)
			}
		}
	}
	return cells
}

// Requests are the addresses that anything of the page asked for.
func (p *Page) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Faults are what the console says: errors, warnings, what the policy refused.
func (p *Page) Faults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.faults)
}

// Quiet fails the test unless the page asked for nothing but itself, and the console says
// nothing.
func (p *Page) Quiet(url string) {
	p.t.Helper()
	for _, r := range p.Requests() {
		if r != url && !strings.HasPrefix(r, "data:") {
			p.t.Errorf("the page asked for %s", r)
		}
	}
	for _, f := range p.Faults() {
		p.t.Errorf("the console says %s", f)
	}
}

// Picture is what one sees of the element that a selector finds.
func (p *Page) Picture(selector string) image.Image {
	p.t.Helper()
	picture, err := png.Decode(bytes.NewReader(get(p, chromedp.Screenshot(chromedp.CSS(selector)))))
	if err != nil {
		p.t.Fatal(err)
	}
	return picture
}

// Shot writes the window, or all of the page, as NAME.png into $WREG_SHOTS.
func (p *Page) Shot(name string, all bool) {
	p.t.Helper()
	dir := os.Getenv("WREG_SHOTS")
	if dir == "" {
		return
	}
	shot := chromedp.CaptureScreenshot()
	if all {
		shot = chromedp.FullScreenshot(100)
	}
	data := get(p, shot)
	if err := os.WriteFile(filepath.Join(dir, name+".png"), data, 0o666); err != nil {
		p.t.Fatal(err)
	}
}
