package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/svcctl/svcctl/internal/safefile"
)

// Source says where to look for settings besides the environment.
type Source struct {
	// File is the configuration file. Empty: [DefaultFile], if it exists.
	File string
	// Flags are the command line's flags. Those that a setting names and that were given are used.
	Flags *pflag.FlagSet
}

// Load reads the configuration. Its error, made by [errors.Join], has every setting that is not usable.
func Load(src Source) (Config, error) {
	file, err := readFile(src.File)
	if err != nil {
		return Config{}, err
	}
	v := viper.New()
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(file.data)); err != nil {
		return Config{}, fmt.Errorf("%s: %w", file.name, err)
	}
	var (
		c    Config
		errs = file.errs
	)
	for _, s := range settings {
		v.SetDefault(s.key, s.def)
		variable := Variable(s.key)
		if err := v.BindEnv(s.key, variable); err != nil {
			return Config{}, fmt.Errorf("%s: %w", variable, err)
		}
		if f := lookup(src.Flags, s.flag); f != nil {
			if err := v.BindPFlag(s.key, f); err != nil {
				return Config{}, fmt.Errorf("--%s: %w", s.flag, err)
			}
		}
		if err := s.set(&c, v.Get(s.key)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.origin(src.Flags, file), err))
		}
	}
	return c, errors.Join(errs...)
}

// origin says where the value of a setting came from, in the order of precedence.
func (s setting) origin(flags *pflag.FlagSet, file *file) string {
	if f := lookup(flags, s.flag); f != nil && f.Changed {
		return "--" + s.flag
	}
	if variable := Variable(s.key); os.Getenv(variable) != "" {
		return variable
	}
	return fmt.Sprintf("%s:%d: %s", file.name, file.lines[s.key], s.key)
}

func lookup(flags *pflag.FlagSet, name string) *pflag.Flag {
	if flags == nil || name == "" {
		return nil
	}
	return flags.Lookup(name)
}

// maxFile is the size of the largest configuration file that is read. examples/config.yaml, which explains every setting, is
// a twentieth of it.
const maxFile = 256 << 10

func readFile(name string) (*file, error) {
	explicit := name != ""
	if !explicit {
		name = DefaultFile
	}
	data, err := safefile.ReadFile(name, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !explicit:
		return &file{name: name}, nil
	case err != nil:
		return nil, fmt.Errorf("the configuration file: %w: --config, or else SVCCTL_CONFIG, names another", err)
	}
	return parse(name, data)
}
