package web

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckConfigFile(t *testing.T) {
	const hash = "$2y$04$uIsFqgBgHxrtgSjwQGoXdeSwPVDQCTZhAyi8/zkk6PXJkhyxKOIaC"
	file := filepath.Join(t.TempDir(), "web.yml")
	check := func(text, want string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := CheckConfigFile(file)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	check("", "")
	check("basic_auth_users:\n  me: "+hash+"\n", "")
	check("basic_auth_users:\n  me: "+hash+"\n  you: secret\n", "line 3: basic_auth_users.you: the password has to be given as a bcrypt hash")
	check("basic_auth_users: {you: '"+strings.Replace(hash, "$2y$", "$9y$", 1)+"'}\n", "line 1: basic_auth_users.you: ")
	check("basic_auth_users: [a]\n", "cannot unmarshal")
	check("basic_auth: {}\n", "field basic_auth not found")
	check("tls_server_config: {cert_file: none.crt, key_file: none.key}\n", "none.crt")
	if err := CheckConfigFile(""); err != nil {
		t.Error(err)
	}
	if err := CheckConfigFile(file + "x"); err == nil {
		t.Error("a file that is not there is good")
	}
}
