package suggest

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"scrape_interval", "scrape_timeout", "job_name", "scheme", "for"}
	check := func(name, want string) {
		t.Helper()
		if got := Nearest(name, known); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	check("scrape_intervall", "scrape_interval")
	check("scrap_timeout", "scrape_timeout")
	check("job", "")
	check("jobname", "job_name")
	check("fro", "for")
	check("shceme", "scheme")
	check("", "")
	check("nothing_like_it", "")
}
