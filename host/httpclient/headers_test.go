package httpclient

import (
	"strings"
	"testing"
)

func TestCheckHeaders(t *testing.T) {
	check := func(name, value, want string) {
		t.Helper()
		err := CheckHeaders(map[string]string{name: value})
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), name)) {
			t.Errorf("%s: %q: got %v, want %q", name, value, err, want)
		}
	}
	check("X-Scope-OrgID", "tenant-1", "")
	check("x-empty", "", "")
	check("authorization", "Bearer x", "must be changed via the basic_auth")
	check("Authorization", "Bearer x", "must be changed via the basic_auth")
	check("HOST", "x", "is a reserved header")
	check("X-Prometheus-Remote-Read-Version", "x", "is a reserved header")
	check("x-amz-date", "x", "is a reserved header")
	check("X Y", "x", "not a valid name")
	check("X-Y", "a\nb", "characters")
	if err := CheckHeaders(nil); err != nil {
		t.Error(err)
	}
	if err := CheckHeaders(map[string]string{"host": "", "connection": ""}); err == nil || strings.Count(err.Error(), "is a reserved header") != 2 {
		t.Errorf("got %v, want both mistakes", err)
	}
}
