package apiclient

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestParseURL(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		u, err := ParseURL(text)
		if want == "" && err == nil || want != "" && (err != nil || u.String() != want) {
			t.Errorf("%s: got %v, %v, want %s", text, u, err, want)
		}
	}
	check("http://localhost:9090", "http://localhost:9090")
	check("https://me:secret@h/prefix/", "https://me:secret@h/prefix/")
	check("localhost:9090", "http://localhost:9090")
	check("10.0.0.1:9090/prefix", "http://10.0.0.1:9090/prefix")
	check("[::1]:9090", "http://[::1]:9090")
	check("//h:1/x", "http://h:1/x")
	check("up", "")
	check("", "")
	check("ftp://h", "")
	check("http://", "")
	check("http://h:x", "")
}

// asked is a client of a server that notes what it is asked.
func asked(t *testing.T, base string, answer func(w http.ResponseWriter, r *http.Request)) (*Client, *[]string) {
	t.Helper()
	var requests []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		requests = append(requests, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL + base)
	if err != nil {
		t.Fatal(err)
	}
	return New(u, server.Client(), http.Header{"X-Scope-Orgid": {"me"}}), &requests
}

// TestFallBackToGet asks a server that takes no POST.
func TestFallBackToGet(t *testing.T) {
	c, requests := asked(t, "/prefix", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if r.Header.Get("X-Scope-OrgID") != "me" {
			t.Errorf("header %v", r.Header)
		}
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"scalar","result":[1.5,"2"]}}`)
	})
	v, _, err := c.Query(t.Context(), "a b", time.UnixMilli(1500))
	if err != nil || v.String() != "scalar: 2 @[1.5]" {
		t.Errorf("%v, %v", v, err)
	}
	if got := strings.Join(*requests, "\n"); got != "POST /prefix/api/v1/query query=a+b&time=1.5\nGET /prefix/api/v1/query?query=a+b&time=1.5" {
		t.Errorf("asked %s", got)
	}
}

func TestBadAnswers(t *testing.T) {
	check := func(status int, body, want string) {
		t.Helper()
		c, _ := asked(t, "", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
		if _, _, err := c.Query(t.Context(), "up", time.Now()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d %s: %v, want %s", status, body, err, want)
		}
	}
	check(400, `{"status":"error","errorType":"bad_data","error":"no"}`, ": bad_data: no")
	check(500, `{"status":"error","error":"no"}`, ": no")
	check(200, "<html>", "answers 200 OK, and not as an API of this kind")
	check(502, "", "answers 502 Bad Gateway, and not as an API of this kind")
	check(200, `{"status":"success","data":{"resultType":"matrix","result":7}}`, "decode the answer of ")
	check(200, `{"status":"success","data":{"resultType":"tensor","result":7}}`, `unknown type of result "tensor"`)
	check(200, `{"status":"success","data":7}`, "decode the answer of ")
}

func TestFetch(t *testing.T) {
	c, requests := asked(t, "/p/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/p/bad" {
			http.Error(w, "\n  it rains \nand more", http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, "content")
	})
	var b bytes.Buffer
	if err := c.Fetch(t.Context(), "debug/x?seconds=5", &b); err != nil || b.String() != "content" || (*requests)[0] != "GET /p/debug/x?seconds=5" {
		t.Errorf("%v, %s, %v", err, b.String(), *requests)
	}
	if err := c.Fetch(t.Context(), "bad", &b); err == nil || !strings.HasSuffix(err.Error(), "/p/bad answers 418 I'm a teapot: it rains") {
		t.Error(err)
	}
}

// TestPasswordsAreNotShown asks where nobody answers.
func TestPasswordsAreNotShown(t *testing.T) {
	base, err := ParseURL("http://me:secret@127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	c := New(base, http.DefaultClient, nil)
	_, _, err = c.Query(t.Context(), "up", time.Now())
	fetchErr := c.Fetch(t.Context(), "metrics", io.Discard)
	for _, err := range []error{err, fetchErr} {
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "connection refused") {
			t.Error(err)
		}
	}
}
