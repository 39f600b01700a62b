package command

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// addOutput adds the flag --output to a command and those below it: [Runs] then writes
// what the command prints to that file.
func addOutput(cmd *cobra.Command) {
	cmd.PersistentFlags().VarP(new(outputFile), "output", "o", "`FILE` to write instead of standard output")
}

// An outputFile is the value of the flag --output. Another flag of that name is none.
type outputFile string

func (o *outputFile) String() string { return string(*o) }

func (o *outputFile) Type() string { return "string" }

func (o *outputFile) Set(name string) error {
	*o = outputFile(name)
	return nil
}

// withOutput calls run, which prints to the file of --output, if there is one. The
// file appears, or is replaced, at once and when run is done. If run fails, a file that
// exists stays as it is, while a new one has what was printed.
func withOutput(cmd *cobra.Command, run func() error) error {
	flag := cmd.Flag("output")
	if flag == nil {
		return run()
	}
	name, ok := flag.Value.(*outputFile)
	if !ok || !flag.Changed || *name == StdinPath {
		return run()
	}
	p, err := openPending(string(*name))
	if err != nil {
		return err
	}
	cmd.SetOut(p)
	err = run()
	complete := err == nil || Status(err) == exitLimit
	if !complete && (p.written == 0 || p.exists) {
		if p.written > 0 {
			Complain(cmd.ErrOrStderr(), "%s stays as it was", *name)
		}
		return errors.Join(err, p.discard())
	}
	if replaceErr := p.replace(); complete && replaceErr != nil {
		return replaceErr
	}
	return err
}

// A pendingFile is written beside a file that it will replace. What is no regular file,
// such as a pipe, is written as it is.
type pendingFile struct {
	*os.File
	target  string
	exists  bool
	written int
}

func openPending(name string) (*pendingFile, error) {
	p := &pendingFile{target: name}
	mode := fs.FileMode(0o666) // before the umask
	if info, err := os.Stat(name); err == nil {
		if info.Mode().IsDir() {
			return nil, &fs.PathError{Op: "write", Path: name, Err: errors.New("is a directory")}
		}
		if !info.Mode().IsRegular() {
			p.File, err = os.OpenFile(name, os.O_WRONLY, 0)
			p.target = ""
			return p, err
		}
		p.exists, mode = true, info.Mode().Perm()
		if p.target, err = filepath.EvalSymlinks(name); err != nil {
			return nil, err
		}
	}
	var err error
	if p.File, err = os.OpenFile(p.target+"."+rand.Text()[:8], os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode); err != nil {
		if failed, ok := errors.AsType[*fs.PathError](err); ok {
			failed.Path = name
		}
		return nil, err
	}
	if p.exists { // the umask may have removed some
		err = p.Chmod(mode)
	}
	if err != nil {
		return nil, errors.Join(err, p.discard())
	}
	return p, nil
}

func (p *pendingFile) Write(b []byte) (int, error) {
	n, err := p.File.Write(b)
	p.written += n
	return n, err
}

func (p *pendingFile) replace() error {
	if p.target == "" {
		return p.Close()
	}
	err := errors.Join(p.Sync(), p.Close())
	if err == nil {
		err = os.Rename(p.Name(), p.target)
	}
	if err != nil {
		os.Remove(p.Name())
	}
	return err
}

func (p *pendingFile) discard() error {
	err := p.Close()
	if p.target != "" {
		err = errors.Join(err, os.Remove(p.Name()))
	}
	return err
}
