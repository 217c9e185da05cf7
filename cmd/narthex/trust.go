package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/narthex-io/narthex/host"
	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/trust"
)

// trustedKeys reads the files of public keys that a flag names.
func trustedKeys(flag string, files []string) (trust.Keys, error) {
	var keys trust.Keys
	for _, file := range files {
		key, err := trust.ReadKey(file)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
		keys = keys.Add(key)
	}
	return keys, nil
}

// trustFlags are the server's flags about signatures, for commands that load plugins as it does.
type trustFlags struct {
	files    []string
	required bool
}

func (f *trustFlags) add(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.files, "plugins.trusted-key", nil, "file with a public key that may have signed plugins; repeatable")
	fs.BoolVar(&f.required, "plugins.require-signature", false, "refuse plugins that are not signed by a trusted key")
}

func (f *trustFlags) read() (host.PluginTrust, error) {
	keys, err := trustedKeys("plugins.trusted-key", f.files)
	if err != nil {
		return host.PluginTrust{}, &usageError{err}
	}
	return host.PluginTrust{Keys: keys, Required: f.required}, nil
}

func pluginLockCommand(io streams, cache *string) *cobra.Command {
	var file string
	var directories []string
	var trusted trustFlags
	var check bool
	c := &cobra.Command{
		Use:   "lock",
		Short: "Write plugins.lock beside the configuration: the only files that its plugins may have",
		Long: "Writes plugins.lock beside the configuration, with the name, sha256 and version of each plugin that it uses.\n" +
			"A server that finds the file there refuses every other plugin, and every other file of these. Whatever changed\n" +
			"is printed. With --check nothing is written, and a difference is a failure.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			warnOfAbsent(io, directories)
			trust, err := trusted.read()
			if err != nil {
				return err
			}
			now, before, err := host.LockPlugins(cmd.Context(), file, host.CheckOptions{
				Getenv: os.Getenv, PluginDirectories: pluginDirectories(directories), PluginCache: *cache, PluginWorker: ownBinary(), PluginTrust: trust,
			})
			if err != nil {
				return &host.ConfigError{Err: err}
			}
			return writeLock(io, filepath.Join(filepath.Dir(file), plugin.LockName), now, before, check)
		},
	}
	c.Flags().StringVar(&file, "config.file", "prometheus.yml", "the configuration")
	c.Flags().StringArrayVar(&directories, "plugins.directory", nil, "directory to search for plugins first; repeatable")
	c.Flags().BoolVar(&check, "check", false, "write nothing, and fail if the lock would change")
	trusted.add(c.Flags())
	return c
}

// writeLock prints what changes and writes the lock, or says that it is out of date.
func writeLock(io streams, path string, now plugin.Lock, before *plugin.Lock, check bool) error {
	changes := 0
	print := func(sign string, e plugin.Locked) {
		changes++
		fmt.Fprintln(io.out, strings.TrimRight(fmt.Sprintf("%s %s %s %s", sign, e.Name, e.SHA256, e.Version), " "))
	}
	var old plugin.Lock
	if before != nil {
		old = *before
	}
	gone, fresh := old.Compare(now)
	for _, e := range gone {
		print("-", e)
	}
	for _, e := range fresh {
		print("+", e)
	}
	if check {
		if changes > 0 || before == nil {
			return fmt.Errorf("%s is not what the plugins are now: look at them, and write it anew with narthex plugin lock", path)
		}
		fmt.Fprintf(io.out, "%s is up to date: %s\n", path, counted(len(now), "plugin"))
		return nil
	}
	if text, err := os.ReadFile(path); err == nil && bytes.Equal(text, now.Encode()) {
		fmt.Fprintf(io.out, "%s is up to date: %s\n", path, counted(len(now), "plugin"))
		return nil
	}
	if err := replaceFile(path, now.Encode()); err != nil {
		return err
	}
	fmt.Fprintf(io.out, "%s: %s\n", path, counted(len(now), "plugin"))
	return nil
}

// replaceFile writes a file whole: whoever reads it sees the old or the new one.
func replaceFile(path string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone after a rename
	_, err = tmp.Write(text)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// Default names of keys.
const (
	secretKeyFile = "narthex.key"
	publicKeyFile = "narthex.pub"
)

func pluginKeygenCommand(io streams) *cobra.Command {
	var public, secret string
	var plain, force bool
	c := &cobra.Command{
		Use:   "keygen",
		Short: "Make a pair of keys for signing plugins, in minisign's format",
		Long: "Makes a secret key, encrypted with a password, and a public key. The password is asked for, or read from\n" +
			"standard input when that is no terminal. minisign can use both, and its keys can be used here.",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			for _, file := range []string{public, secret} {
				if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) && !force {
					return fmt.Errorf("%s is there already: name another file, or replace it with --force", file)
				}
			}
			password := ""
			if !plain {
				var err error
				if password, err = newPassword(io); err != nil {
					return err
				}
			}
			key, pair, err := trust.Generate()
			if err != nil {
				return err
			}
			text, err := pair.Encode(password)
			if err != nil {
				return err
			}
			shown, err := key.Encode()
			if err != nil {
				return err
			}
			if err := errors.Join(os.WriteFile(secret, text, 0o600), os.Chmod(secret, 0o600), os.WriteFile(public, shown, 0o644)); err != nil {
				return err
			}
			fmt.Fprintf(io.out, "%s: secret key, for narthex plugin sign; keep it to yourself\n%s: public key %s, for servers:\n\n"+
				"plugins:\n  trusted_keys:\n    - %s\n", secret, public, key.ID(), key)
			return nil
		},
	}
	c.Flags().StringVarP(&public, "public-key", "p", publicKeyFile, "file to write the public key to")
	c.Flags().StringVarP(&secret, "secret-key", "s", secretKeyFile, "file to write the secret key to")
	c.Flags().BoolVarP(&plain, "no-password", "W", false, "do not encrypt the secret key")
	c.Flags().BoolVarP(&force, "force", "f", false, "replace keys that are there")
	return c
}

func pluginSignCommand(io streams) *cobra.Command {
	var secret, comment string
	var legacy bool
	c := &cobra.Command{
		Use:   "sign FILE...",
		Short: "Sign plugins: writes FILE.minisig beside each file",
		Long:  "Signs files as minisign does. The password of an encrypted key is asked for, or read from standard input when that is no\nterminal.",
		Args:  someArgs,
		RunE: func(_ *cobra.Command, files []string) error {
			key, err := trust.ReadSecret(secret, func() (string, error) { return askPassword(io, "Password of "+secret+": ") })
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%w: name the key with --secret-key, or make one with narthex plugin keygen", err)
			}
			if err != nil {
				return err
			}
			for _, file := range files {
				content, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				text, err := key.Sign(content, file, comment, time.Now(), legacy)
				if err != nil {
					return fmt.Errorf("sign %s: %w", file, err)
				}
				if err := replaceFile(file+trust.Extension, append(bytes.TrimRight(text, "\n"), '\n')); err != nil {
					return err
				}
				fmt.Fprintf(io.out, "%s%s: signed with key %s\n", file, trust.Extension, key.Key().ID())
			}
			return nil
		},
	}
	c.Flags().StringVarP(&secret, "secret-key", "s", secretKeyFile, "file with the secret key")
	c.Flags().StringVarP(&comment, "comment", "t", "", "one line to sign as well, such as a version; default: time and file name")
	c.Flags().BoolVarP(&legacy, "legacy", "l", false, "sign the content itself instead of its hash, for verifiers that know nothing else")
	return c
}

func pluginVerifyCommand(io streams) *cobra.Command {
	var files, lines []string
	c := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Check the signatures beside plugins",
		Long:  "Checks FILE.minisig of each file against the public keys given. Nothing of a plugin is run.",
		Args:  someArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(files)+len(lines) == 0 {
				files = []string{publicKeyFile}
			}
			keys, err := trustedKeys("public-key", files)
			if err != nil {
				return err
			}
			for _, line := range lines {
				key, err := trust.ParseKey(line)
				if err != nil {
					return &usageError{fmt.Errorf("--key: %w", err)}
				}
				keys = keys.Add(key)
			}
			var errs []error
			for _, file := range args {
				content, err := os.ReadFile(file)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				switch s := keys.Examine(file, content); s.State {
				case trust.StateTrusted:
					fmt.Fprintf(io.out, "%s: signed by key %s; comment: %s\n", file, s.KeyID, s.Comment)
				case trust.StateUnsigned:
					errs = append(errs, fmt.Errorf("%s is not signed: there is no %s%s", file, file, trust.Extension))
				default:
					errs = append(errs, errors.New(s.Problem))
				}
			}
			return errors.Join(errs...)
		},
	}
	c.Flags().StringArrayVarP(&files, "public-key", "p", nil, "file with a public key; repeatable; default: "+publicKeyFile)
	c.Flags().StringArrayVarP(&lines, "key", "P", nil, "a public key itself, the line that starts with RW; repeatable")
	return c
}

// someArgs asks for at least one of what the command's Use line names.
func someArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return &usageError{fmt.Errorf("name at least one file: %s", cmd.UseLine())}
	}
	return nil
}

// newPassword asks for a password twice.
func newPassword(io streams) (string, error) {
	first, err := askPassword(io, "Password for the secret key: ")
	if err != nil || !term.IsTerminal(int(io.in.Fd())) {
		return first, err
	}
	again, err := askPassword(io, "Once more: ")
	if err == nil && first != again {
		err = errors.New("the two passwords differ")
	}
	return first, err
}

// askPassword reads a line, unseen where there is a terminal.
func askPassword(io streams, prompt string) (string, error) {
	var line []byte
	var err error
	if fd := int(io.in.Fd()); term.IsTerminal(fd) {
		fmt.Fprint(io.err, prompt)
		line, err = term.ReadPassword(fd)
		fmt.Fprintln(io.err)
	} else {
		line, err = readLine(io.in)
	}
	if err != nil {
		return "", fmt.Errorf("read the password: %w; with --no-password there is none", err)
	}
	if len(line) == 0 {
		return "", errors.New("no password was given; a key without one is made with --no-password")
	}
	return string(line), nil
}

// readLine reads no more than a line, so that the next one can be read later.
func readLine(f *os.File) ([]byte, error) {
	const longest = 4096
	var line []byte
	for b := make([]byte, 1); len(line) < longest; {
		n, err := f.Read(b)
		if n == 0 || b[0] == '\n' {
			if n == 0 && len(line) == 0 && err != nil {
				return nil, err
			}
			break
		}
		line = append(line, b[0])
	}
	return bytes.TrimRight(line, "\r"), nil
}
