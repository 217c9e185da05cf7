package api

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// TestTimeout: what the engine does not watch over ends in time, too.
func TestTimeout(t *testing.T) {
	h := newAPI(t)
	long := url.QueryEscape(strings.Repeat("up+", 5000) + "up")
	for _, path := range []string{"/format_query?query=", "/parse_query?query=", "/query_exemplars?query=", "/query?query="} {
		if status, body := call(t, h, path+long+"&timeout=0.000000001", ""); status != 503 || !strings.Contains(body, `"errorType":"timeout"`) {
			t.Errorf("%s: %d %.300s", path, status, body)
		}
	}
	for _, path := range []string{"/format_query?query=up", "/parse_query?query=up", "/series?match[]=up", "/labels?match[]=up", "/label/job/values?match[]=up"} {
		if status, body := call(t, h, path+"&timeout=10s", ""); status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
		if status, body := call(t, h, path+"&timeout=soon", ""); status != 400 || !strings.Contains(body, `invalid parameter \"timeout\"`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestForms: a form that is cut off is an error, and some take no mistakes at all.
func TestForms(t *testing.T) {
	h := newAPI(t)
	var many strings.Builder
	for i := range 10_001 {
		many.WriteString("&match[]=up" + strconv.Itoa(i))
	}
	check := func(path string, want int) {
		t.Helper()
		status, body := call(t, h, path, "")
		if status != want || want == 400 && !strings.Contains(body, `"errorType":"bad_data","error":"error parsing form values: `) {
			t.Errorf("%.40s: %d %.200s", path, status, body)
		}
	}
	for _, path := range []string{"/labels?", "/label/job/values?", "/series?", "/query?query=1"} {
		check(path+many.String(), 400)
	}
	check("/query?query=1&x=%zz", 200)
	check("/query?query=1&x=1;2", 200)
	check("/labels?x=%zz", 200)
	check("/series?match[]=up&x=%zz", 400)
	check("/rules?x=%zz", 400)
}
