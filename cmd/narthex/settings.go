package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/units"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/prometheus/common/model"
	"github.com/spf13/pflag"
)

// envPrefix starts the names of environment variables that hold settings.
const envPrefix = "NARTHEX_"

// values are the merged settings: defaults, then the settings file, then the environment, then flags.
type values struct {
	merged *koanf.Koanf
	kinds  map[string]kind
}

// addFlags defines a flag for each setting, and --no-NAME for those that are on or off.
func addFlags(fs *pflag.FlagSet) {
	for _, s := range settings() {
		fs.Var(&flagValue{setting: s}, s.name, s.help)
		f := fs.Lookup(s.name)
		f.Hidden = s.hidden || s.part != ""
		f.DefValue = s.value
		if s.kind == kindBool {
			f.NoOptDefVal = "true"
			fs.Var(&negation{of: f}, "no-"+s.name, "")
			no := fs.Lookup("no-" + s.name)
			no.Hidden, no.NoOptDefVal = true, "true"
		}
	}
}

// flagValue holds what was given on the command line for one setting.
type flagValue struct {
	setting
	given []string
}

func (v *flagValue) String() string {
	return strings.Join(v.given, ",")
}

func (v *flagValue) Set(text string) error {
	if v.kind != kindList {
		v.given = nil
	}
	v.given = append(v.given, text)
	return v.check(text)
}

func (v *flagValue) Type() string {
	return [...]string{"string", "bool", "int", "float", "duration", "bytes", "string"}[v.kind]
}

// negation is the flag --no-NAME.
type negation struct{ of *pflag.Flag }

func (n *negation) String() string { return "" }
func (n *negation) Type() string   { return "bool" }

func (n *negation) Set(text string) error {
	no, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", text)
	}
	n.of.Changed = true
	return n.of.Value.Set(strconv.FormatBool(!no))
}

// check reports whether text can be read as the setting's kind.
func (s setting) check(text string) error {
	if text == "" {
		return nil
	}
	var err error
	switch s.kind {
	case kindBool:
		_, err = strconv.ParseBool(text)
	case kindInt:
		_, err = strconv.ParseInt(text, 0, 64)
	case kindFloat:
		_, err = strconv.ParseFloat(text, 64)
	case kindDuration:
		_, err = model.ParseDuration(text)
	case kindBytes:
		if _, err = units.ParseBase2Bytes(text); err != nil {
			err = errors.New("a number with a unit is needed, such as 512MB or 10GB")
		}
	case kindString, kindList:
	}
	if err != nil {
		if num, ok := errors.AsType[*strconv.NumError](err); ok {
			err = num.Err
		}
		return fmt.Errorf("%q is not of type %s: %w", text, (&flagValue{setting: s}).Type(), err)
	}
	return nil
}

// mergeSettings reads all sources; changed replaces some of the defaults. Each error names the setting and the source
// that it came from.
func mergeSettings(fs *pflag.FlagSet, environ []string, changed map[string]string) (*values, error) {
	known := map[string]setting{}
	v := &values{merged: koanf.New("/"), kinds: map[string]kind{}}
	defaults := map[string]any{}
	for _, s := range settings() {
		known[s.name], v.kinds[s.name] = s, s.kind
		defaults[s.name] = s.value
		if value, ok := changed[s.name]; ok {
			defaults[s.name] = value
		}
	}
	flags := changedFlags(fs)
	env, err := fromEnvironment(known, environ)
	if err != nil {
		return nil, err
	}
	path, ok := flags["settings.file"].(string)
	if !ok {
		path, _ = env["settings.file"].(string)
	}
	fromFile, err := fromSettingsFile(path)
	if err != nil {
		return nil, err
	}
	for _, source := range []struct {
		name   string
		values map[string]any
	}{{"default", defaults}, {"settings file " + path, fromFile}, {"environment", env}, {"flag", flags}} {
		if source.name != "default" {
			if err := checkSource(source.name, known, source.values); err != nil {
				return nil, err
			}
		}
		if err := v.merged.Load(confmap.Provider(source.values, ""), nil); err != nil {
			return nil, fmt.Errorf("merge settings from %s: %w", source.name, err)
		}
	}
	return v, nil
}

func changedFlags(fs *pflag.FlagSet) map[string]any {
	flags := map[string]any{}
	fs.VisitAll(func(f *pflag.Flag) {
		if v, ok := f.Value.(*flagValue); ok && len(v.given) > 0 {
			flags[f.Name] = v.given[0]
			if v.kind == kindList {
				flags[f.Name] = v.given
			}
		}
	})
	return flags
}

// fromEnvironment finds settings such as NARTHEX_STORAGE_TSDB_PATH. Lists are separated by commas. An unknown name
// is an error, since it is most likely a slip.
func fromEnvironment(known map[string]setting, environ []string) (map[string]any, error) {
	names := map[string]setting{}
	for name, s := range known {
		names[envPrefix+strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToUpper(name))] = s
	}
	env := map[string]any{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		s, ok := names[name]
		if !ok {
			return nil, fmt.Errorf("environment variable %s is no setting%s; see narthex --help", name, didYouMean(name, maps.Keys(names)))
		}
		if env[s.name] = value; s.kind == kindList {
			env[s.name] = strings.Split(value, ",")
		}
	}
	return env, nil
}

func fromSettingsFile(path string) (map[string]any, error) {
	if path == "" {
		return nil, nil
	}
	// The delimiter joins nested keys, so that both "storage.tsdb.path: x" and the nested spelling work.
	k := koanf.New(".")
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		return nil, fmt.Errorf("read settings file %s: %w", path, err)
	}
	flat := map[string]any{}
	for name, value := range k.All() {
		if list, ok := value.([]any); ok {
			texts := make([]string, len(list))
			for i, item := range list {
				texts[i] = fmt.Sprint(item)
			}
			flat[name] = texts
			continue
		}
		flat[name] = fmt.Sprint(value)
	}
	return flat, nil
}

// checkSource says what is wrong with the settings of one source, of all parts that are missing at once.
func checkSource(source string, known map[string]setting, given map[string]any) error {
	where := source + ": "
	if source == "flag" {
		where = ""
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if s, ok := known[name]; !ok {
			errs = append(errs, fmt.Errorf("%s%q is no setting%s; see narthex --help", where, name, didYouMean(name, maps.Keys(known))))
		} else if s.part != "" {
			errs = append(errs, fmt.Errorf("%s--%s belongs to %s, which this version does not have yet: remove it", where, name, s.part))
		} else if err := s.checkGiven(given[name]); err != nil {
			errs = append(errs, fmt.Errorf("%s--%s: %w", where, name, err))
		}
	}
	return errors.Join(errs...)
}

// checkGiven reports whether what a source has for a setting can be read.
func (s setting) checkGiven(value any) error {
	texts, isList := value.([]string)
	if !isList {
		texts = []string{value.(string)}
	} else if s.kind != kindList {
		return errors.New("takes one value, not a list")
	}
	for _, text := range texts {
		if err := s.check(text); err != nil {
			return err
		}
	}
	return nil
}

// The readers below cannot fail, since each source was checked.

// isDefault reports whether a setting has its default value.
func (v *values) isDefault(name string) bool {
	i := slices.IndexFunc(settings(), func(s setting) bool { return s.name == name })
	return i >= 0 && settings()[i].value == v.text(name)
}

func (v *values) text(name string) string { return v.merged.String(name) }

func (v *values) list(name string) []string {
	switch value := v.merged.Get(name).(type) {
	case []string:
		return value
	case string:
		if value != "" {
			return []string{value}
		}
	}
	return nil
}

func (v *values) flag(name string) bool {
	on, _ := strconv.ParseBool(v.text(name))
	return on
}

func (v *values) int(name string) int {
	n, _ := strconv.ParseInt(v.text(name), 0, 64)
	return int(n)
}

func (v *values) float(name string) float64 {
	f, _ := strconv.ParseFloat(v.text(name), 64)
	return f
}

func (v *values) duration(name string) time.Duration {
	d, _ := model.ParseDuration(v.text(name))
	return time.Duration(d)
}

func (v *values) bytes(name string) int64 {
	n, _ := units.ParseBase2Bytes(v.text(name))
	return int64(n)
}

// all returns all settings as text for display, numbers with units in their shortest form.
func (v *values) all() map[string]string {
	texts := make(map[string]string, len(v.kinds))
	for name, k := range v.kinds {
		switch k {
		case kindList:
			texts[name] = strings.Join(v.list(name), ",")
		case kindDuration:
			texts[name] = model.Duration(v.duration(name)).String()
		case kindBytes:
			texts[name] = units.Base2Bytes(v.bytes(name)).String()
		default:
			texts[name] = v.text(name)
		}
	}
	return texts
}
