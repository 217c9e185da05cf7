package jwtauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/narthex-io/narthex/sdk"
)

// Condition is about one claim of a token. Without Equals and Contains the claim has to be there, and not null.
type Condition struct {
	// Claim is its name, or the way to it from claim to claim: realm_access.roles.
	Claim string `json:"claim"`
	// Equals is the text, number or truth value that the claim has to be, or a list of them, of which it has to be one.
	Equals sdk.Config `json:"equals"`
	// Contains is what the claim, a list, has to hold, or a list of them, of which it has to hold one. A claim that is a
	// text counts as a list of one, and scope and scp as one of words.
	Contains sdk.Config `json:"contains"`

	equals, contains []string
}

// Rule says who may do what. A rule without a condition is about everybody, one without methods about all methods, and
// one without paths about all paths.
type Rule struct {
	Condition
	// Methods are HTTP's. GET stands for HEAD, too.
	Methods []string `json:"methods"`
	// Paths are those of requests, without --web.route-prefix; a * in the end stands for anything.
	Paths []string `json:"paths"`
	// Allow is what the rule decides; nil means true.
	Allow *bool `json:"allow"`
}

func (c *Condition) check() (err error) {
	if c.Claim == "" {
		return errors.New(".claim: missing")
	}
	if c.equals, err = values(c.Equals); err != nil {
		return fmt.Errorf(".equals: %w", err)
	}
	if c.contains, err = values(c.Contains); err != nil {
		return fmt.Errorf(".contains: %w", err)
	}
	if c.equals != nil && c.contains != nil {
		return errors.New(".contains: there is equals too; remove one of them")
	}
	return nil
}

// values returns what a claim is compared with, nil for nothing.
func values(text sdk.Config) ([]string, error) {
	list, err := texts(text)
	if err == nil && list != nil && len(list) == 0 {
		err = errors.New("the list is empty: nothing could ever be in it")
	}
	return list, err
}

// holds reports whether a token with these claims fulfils the condition.
func (c *Condition) holds(claims map[string]any) bool {
	value := lookup(claims, c.Claim)
	switch {
	case value == nil:
		return false
	case c.equals != nil:
		text, ok := scalar(value)
		return ok && slices.Contains(c.equals, text)
	case c.contains != nil:
		return slices.ContainsFunc(elements(c.Claim, value), func(have string) bool { return slices.Contains(c.contains, have) })
	}
	return true
}

// lookup finds a claim by its name, or else by the way to it; nil if there is none.
func lookup(claims map[string]any, name string) any {
	if value, ok := claims[name]; ok {
		return value
	}
	first, rest, ok := strings.Cut(name, ".")
	if !ok {
		return nil
	}
	inner, ok := claims[first].(map[string]any)
	if !ok {
		return nil
	}
	return lookup(inner, rest)
}

// elements returns the texts in a claim.
func elements(name string, value any) []string {
	if list, ok := value.([]any); ok {
		var out []string
		for _, v := range list {
			if text, ok := scalar(v); ok {
				out = append(out, text)
			}
		}
		return out
	}
	text, ok := scalar(value)
	switch {
	case !ok:
		return nil
	case name == "scope" || name == "scp":
		return strings.Fields(text)
	}
	return []string{text}
}

func (r *Rule) check() error {
	if r.Claim != "" || len(r.Equals) > 0 || len(r.Contains) > 0 {
		if err := r.Condition.check(); err != nil {
			return err
		}
	}
	for i, m := range r.Methods {
		if m == "" || strings.ToUpper(m) != m {
			return fmt.Errorf(".methods[%d]: %q is no method such as GET", i, m)
		}
	}
	for i, p := range r.Paths {
		if !strings.HasPrefix(p, "/") || strings.Contains(strings.TrimSuffix(p, "*"), "*") {
			return fmt.Errorf(".paths[%d]: %q must start with a slash, and a * may only be its end", i, p)
		}
	}
	return nil
}

// about reports whether the rule is about tokens with these claims.
func (r *Rule) about(claims map[string]any) bool { return r.Claim == "" || r.holds(claims) }

// covers reports whether the rule is about such a request.
func (r *Rule) covers(method, path string) bool {
	if len(r.Methods) > 0 && !slices.Contains(r.Methods, method) && (method != "HEAD" || !slices.Contains(r.Methods, "GET")) {
		return false
	}
	return len(r.Paths) == 0 || slices.ContainsFunc(r.Paths, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(path, prefix)
		}
		return path == pattern
	})
}

// allows reports whether a rule, or the lack of one, allows a request of somebody about whom the rules with these numbers
// are.
func allows(rules []Rule, about []int, method, path string) bool {
	for _, i := range about {
		if rules[i].covers(method, path) {
			return rules[i].Allow == nil || *rules[i].Allow
		}
	}
	return len(rules) == 0
}
