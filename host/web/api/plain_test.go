package api

import (
	"strings"
	"testing"
)

// TestPlain finds each byte that has to be escaped wherever it stands, and no other.
func TestPlain(t *testing.T) {
	for _, size := range []int{1, 7, 8, 9, 15, 16, 17, 40} {
		for at := range size {
			for c := range 256 {
				s := strings.Repeat("~", at) + string([]byte{byte(c)}) + strings.Repeat("!", size-at-1)
				want := c >= ' ' && c < 0x7f && !strings.ContainsRune(`"\<>&`, rune(c))
				if plain(s) != want {
					t.Fatalf("%q: %v", s, !want)
				}
			}
		}
	}
	if !plain("") {
		t.Error("the empty string is not plain")
	}
}
