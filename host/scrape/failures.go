package scrape

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// failureLog notes scrapes that failed, one line of JSON each.
type failureLog struct {
	mu sync.Mutex
	// file is nil once the log is closed.
	file io.WriteCloser
}

// failure is a line, whose fields are those of upstream's.
type failure struct {
	Time   time.Time `json:"time"`
	Level  string    `json:"level"`
	Msg    string    `json:"msg"`
	Job    string    `json:"job_name"`
	Target string    `json:"target"`
}

// openFile is how the logs are opened by default.
func openFile(path string) (io.WriteCloser, error) {
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666) //nolint:gosec // As readable as the umask allows.
}

// failureLogs are the open logs by path. They are opened anew with each reload, so that they can be moved away.
type failureLogs map[string]*failureLog

func openFailureLogs(cfgs []*Config, open func(path string) (io.WriteCloser, error)) (failureLogs, error) {
	logs := failureLogs{}
	for _, cfg := range cfgs {
		path := cfg.ScrapeFailureLogFile
		if path == "" || logs[path] != nil {
			continue
		}
		file, err := open(path)
		if err != nil {
			return nil, errors.Join(&JobError{cfg.JobName, fmt.Errorf("open scrape_failure_log_file: %w", err)}, logs.close())
		}
		logs[path] = &failureLog{file: file}
	}
	return logs, nil
}

func (logs failureLogs) close() error {
	var errs []error
	for _, l := range logs {
		l.mu.Lock()
		errs = append(errs, l.file.Close())
		l.file = nil
		l.mu.Unlock()
	}
	return errors.Join(errs...)
}

// note writes a line about a scrape of a job, if there is a log at path.
func (logs failureLogs) note(path, job, target string, reason error) error {
	l := logs[path]
	if l == nil {
		return nil
	}
	line, err := json.Marshal(failure{Time: time.Now().UTC(), Level: slog.LevelError.String(), Msg: reason.Error(), Job: job, Target: target})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_, err = l.file.Write(append(line, '\n'))
	}
	return err
}
