package trust

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var content = []byte("a plugin's bytes\x00\xff")

func noPassword() (string, error) { return "", errors.New("asked for a password") }

func pair(t *testing.T) (Key, Secret) {
	t.Helper()
	k, s, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k, s
}

func write(t *testing.T, dir, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sign writes a signature beside path.
func sign(t *testing.T, s Secret, path, comment string, legacy bool) {
	t.Helper()
	text, err := s.Sign(content, path, comment, time.Unix(1234, 0), legacy)
	if err != nil {
		t.Fatal(err)
	}
	write(t, "", path+Extension, text)
}

func TestExamine(t *testing.T) {
	mine, secret := pair(t)
	other, foreign := pair(t)
	path := write(t, t.TempDir(), "sd-a.wasm", content)
	want := func(keys Keys, content []byte, state State, comment, problem string) {
		t.Helper()
		got := keys.Examine(path, content)
		if got.State != state || got.Comment != comment || !strings.Contains(got.Problem, problem) || (problem == "") != (got.Problem == "") {
			t.Errorf("%+v, want %s, comment %q, problem %q", got, state, comment, problem)
		}
	}
	want(Keys{mine}, content, StateUnsigned, "", "")
	for _, legacy := range []bool{false, true} {
		sign(t, secret, path, "built by me", legacy)
		want(Keys{other, mine}, content, StateTrusted, "built by me", "")
		want(Keys{mine}, content[1:], StateWrong, "", "changed after signing")
		want(Keys{other}, content, StateUnknown, "", mine.ID()+", which is not trusted")
		want(nil, content, StateUnknown, "", "not trusted")
	}
	sign(t, foreign, path, "", false)
	want(Keys{mine}, content, StateUnknown, "", other.ID())
	want(Keys{other}, content, StateTrusted, "timestamp:1234\tfile:sd-a.wasm\thashed", "")

	// A comment that was exchanged is not believed, and neither is the signature.
	sign(t, secret, path, "version 1", false)
	text, err := os.ReadFile(path + Extension)
	if err != nil {
		t.Fatal(err)
	}
	write(t, "", path+Extension, []byte(strings.Replace(string(text), "version 1", "version 2", 1)))
	want(Keys{mine}, content, StateWrong, "", "changed")
	for _, text := range []string{"", "?", "untrusted comment: x\nRUQ=\n", strings.Repeat("x", maxSignatureBytes+1)} {
		write(t, "", path+Extension, []byte(text))
		want(Keys{mine}, content, StateWrong, "", "no signature of minisign")
	}
}

func TestKeys(t *testing.T) {
	mine, _ := pair(t)
	file, err := mine.Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, t.TempDir(), "k.pub", file)
	read, err := ReadKey(path)
	if err != nil || !read.Equal(mine) {
		t.Errorf("%v, %v", read, err)
	}
	line, err := ParseKey(mine.String())
	if err != nil || !line.Equal(mine) || !strings.HasPrefix(mine.String(), "RW") {
		t.Errorf("%v, %v", line, err)
	}
	other, _ := pair(t)
	if all := (Keys{mine}).Add(line, other, other); len(all) != 2 || all.IDs()[0] != mine.ID() {
		t.Errorf("%v", all.IDs())
	}
	for _, text := range []string{"", "RW", "untrusted comment: x\n", mine.String()[:40], "RWQ!" + mine.String()[4:]} {
		if _, err := ParseKey(text); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}

// TestLockedSecret reads a secret key that minisign 0.11 encrypted.
func TestLockedSecret(t *testing.T) {
	if testing.Short() || underRace {
		t.Skip("deriving a key takes seconds and a gigabyte, and under the race detector minutes; an end-to-end test does it too")
	}
	want, err := ReadKey("testdata/locked.pub")
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadSecret("testdata/locked.key", func() (string, error) { return "open sesame", nil })
	if err != nil || !read.Key().Equal(want) {
		t.Errorf("%v", err)
	}
	if _, err := ReadSecret("testdata/locked.key", func() (string, error) { return "open", nil }); !errors.Is(err, ErrPassword) {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := ReadSecret("testdata/locked.key", noPassword); err == nil || !strings.Contains(err.Error(), "asked") {
		t.Errorf("no password: %v", err)
	}
}

func TestSecretRefuses(t *testing.T) {
	mine, secret := pair(t)
	text, err := secret.Encode("")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if s, err := ReadSecret(write(t, dir, "good", text), noPassword); err != nil || !s.Key().Equal(mine) {
		t.Errorf("%v", err)
	}
	public, err := mine.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{nil, public, text[:len(text)/2], []byte("untrusted comment: x\n!!!!\n")} {
		if _, err := ReadSecret(write(t, dir, "bad", bad), noPassword); err == nil || !strings.Contains(err.Error(), "no secret key") {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
	if _, err := secret.Sign(content, "x", "two\nlines", time.Now(), false); err == nil {
		t.Error("a comment of two lines is taken")
	}
}

// TestMinisign exchanges keys and signatures with minisign itself; those with a password are an end-to-end test.
func TestMinisign(t *testing.T) {
	program, err := exec.LookPath("minisign")
	if err != nil {
		t.Skip("minisign is not installed")
	}
	dir := t.TempDir()
	minisign := func(input string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("minisign %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	path := write(t, dir, "sd-a.wasm", content)
	trusted := func(k Key, how string) {
		t.Helper()
		if got := (Keys{k}).Examine(path, content); got.State != StateTrusted {
			t.Errorf("%s: %+v", how, got)
		}
	}
	// Its keys and signatures are ours, hashed and legacy.
	minisign("", "-G", "-W", "-p", "k.pub", "-s", "k.key")
	key, err := ReadKey(filepath.Join(dir, "k.pub"))
	if err != nil {
		t.Fatal(err)
	}
	its, err := ReadSecret(filepath.Join(dir, "k.key"), noPassword)
	if err != nil {
		t.Fatal(err)
	}
	for flag, legacy := range map[string]bool{"-H": false, "-l": true} {
		minisign("", "-S", flag, "-s", "k.key", "-m", path)
		trusted(key, "signed by minisign "+flag)
		sign(t, its, path, "", legacy)
		trusted(key, "signed here")
		minisign("", "-V", "-p", "k.pub", "-m", path)
	}
	// Our keys are its keys.
	mine, secret := pair(t)
	public, err := mine.Encode()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "ours.pub", public)
	text, err := secret.Encode("")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "ours.key", text)
	minisign("", "-S", "-s", "ours.key", "-m", path)
	trusted(mine, "our key in minisign")
	minisign("", "-V", "-p", "ours.pub", "-m", path)
}
