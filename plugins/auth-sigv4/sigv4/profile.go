package sigv4

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// profile is one profile of AWS's shared files.
type profile struct {
	name   string
	fields map[string]string
	// source is the profile whose credentials assume this one's role; nil if it has none.
	source *profile
}

func (p *profile) get(field string) string { return p.fields[field] }

// seconds returns a field that is a number of seconds; 0 if it is not there.
func (p *profile) seconds(field string) (int, error) {
	text := p.get(field)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("profile %s: %s: %q is not a number of seconds", p.name, field, text)
	}
	return n, nil
}

// readProfiles returns the fields of all profiles by name. What the file of credentials says comes before what the other one does.
// A file that is not there, or may not be read, holds none; the error says why, in case something turns out to be missing.
func (c *chain) readProfiles() (shared map[string]map[string]string, unread error) {
	shared = map[string]map[string]string{}
	for _, from := range []struct {
		file string
		// prefixed says that profiles are headed [profile NAME] rather than [NAME], except for the default one.
		prefixed bool
	}{{c.env(envConfigFile), true}, {c.env(envCredentialsFile), false}} {
		if from.file == "" {
			continue
		}
		text, err := c.host.Files.ReadFile(from.file)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				unread = errors.Join(unread, err)
			}
			continue
		}
		sections := parseINI(string(text))
		for _, heading := range slices.Sorted(maps.Keys(sections)) {
			name, prefixed := strings.CutPrefix(heading, "profile ")
			if prefixed != from.prefixed && heading != defaultProfile {
				continue
			}
			if shared[name] == nil {
				shared[name] = map[string]string{}
			}
			if sections[heading]["aws_access_key_id"] != "" {
				delete(shared[name], "aws_session_token") // It belongs to the keys of the other file.
			}
			maps.Copy(shared[name], sections[heading])
		}
	}
	return shared, unread
}

const defaultProfile = "default"

// profile returns the profile to use, linked to those that it refers to. One that nobody has named may be missing.
func (c *chain) profile(shared map[string]map[string]string) (profile, error) {
	name := c.config.Profile
	if name == "" {
		name = c.env(envProfile, envDefaultProfile)
	}
	if name == "" && shared[defaultProfile] == nil {
		return profile{name: defaultProfile}, nil
	}
	return link(shared, cmp.Or(name, defaultProfile), nil)
}

// link returns a profile with its source. above are the names of those that refer to it.
func link(shared map[string]map[string]string, name string, above []string) (profile, error) {
	if shared[name] == nil {
		return profile{}, fmt.Errorf("there is no profile %s in AWS's shared files", name)
	}
	p := profile{name: name, fields: maps.Clone(shared[name])}
	if (p.get("aws_access_key_id") == "") != (p.get("aws_secret_access_key") == "") {
		return p, fmt.Errorf("profile %s: one of aws_access_key_id and aws_secret_access_key is missing", name)
	}
	if len(above) > 0 && p.hasKeys() { // Who refers to a profile wants its keys.
		delete(p.fields, "role_arn")
		return p, nil
	}
	source := p.get("source_profile")
	switch {
	case slices.Contains(above, name):
		return p, fmt.Errorf("profile %s: it is its own source and has no keys", name)
	case source == "":
		return p, nil
	case p.get("role_arn") == "":
		return p, fmt.Errorf("profile %s: source_profile is of no use without role_arn", name)
	}
	from, err := link(shared, source, append(above, name))
	if err != nil {
		return p, fmt.Errorf("profile %s: source_profile: %w", name, err)
	}
	p.source = &from
	return p, nil
}

func (p *profile) hasKeys() bool {
	return p.get("aws_access_key_id") != "" && p.get("aws_secret_access_key") != ""
}

// parseINI returns the fields by heading, of a format that AWS's SDKs define by what they read: names in any case, = or :,
// comments after # or ; with a blank before, and below a field without a value fields of its own, which nothing here needs.
func parseINI(text string) map[string]map[string]string {
	sections := map[string]map[string]string{}
	var section map[string]string
	last := "" // the value of the field before
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		bare := strings.TrimLeft(line, " \t")
		if bare == "" || bare[0] == '#' || bare[0] == ';' {
			continue
		}
		if heading, ok := parseHeading(line); ok {
			if sections[heading] == nil {
				sections[heading] = map[string]string{}
			}
			section, last = sections[heading], "-"
			continue
		}
		at := strings.IndexAny(bare, "=:")
		if section == nil || at < 0 || bare != line && last == "" {
			continue
		}
		value := bare[at+1:]
		for _, comment := range []string{" #", " ;", "\t#", "\t;"} {
			value, _, _ = strings.Cut(value, comment)
		}
		last = unquote(strings.TrimSpace(value))
		section[strings.ToLower(strings.TrimSpace(bare[:at]))] = last
	}
	return sections
}

// parseHeading reads "[ profile  name ] # comment" as "profile name".
func parseHeading(line string) (string, bool) {
	inner, ok := strings.CutPrefix(line, "[")
	if !ok {
		return "", false
	}
	inner, _, ok = strings.Cut(inner, "]")
	return strings.Join(strings.Fields(inner), " "), ok
}

func unquote(s string) string {
	if n := len(s); n >= 2 && s[0] == s[n-1] && (s[0] == '\'' || s[0] == '"') {
		return s[1 : n-1]
	}
	return s
}
