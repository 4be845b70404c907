// SPDX-License-Identifier: Apache-2.0
// The options of a shell script that starts a trainer: its assignments are put into them, and what
// srun, mpirun and #SBATCH lines say of nodes and ranks stands beside.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ocoee::plan {

class ShellScript {
 public:
  ShellScript(const std::string& text, std::string name);

  bool has(const std::string& flag) const;
  std::string place(const std::string& flag) const;  // file and line
  // Throws Error(config) where the flag's value is no whole number.
  std::optional<int64_t> number(const std::string& flag) const;
  int64_t needed(const std::string& flag) const;  // and where there is none
  // Of the command, or of the job's head; what is no number (a job's variable) says nothing.
  std::optional<int64_t> first_of(std::initializer_list<const char*> flags) const;
  // The flag's value where it is one of `known`; else "", and it counts as not read.
  std::string one_of(const std::string& flag, std::initializer_list<const char*> known) const;
  const std::string& here_document() const { return here_; }
  // Options that nobody asked for and that may change the step.
  std::vector<std::string> not_read() const;

 private:
  struct Word {
    std::string text;
    int line;
  };
  void batch_line(const std::string& text);
  void launcher_options();

  std::string name_, here_;
  std::vector<Word> words_;
  std::map<std::string, Word> flags_;
  std::map<std::string, int64_t> batch_;  // of the #SBATCH lines
  mutable std::set<std::string> read_;
};

}  // namespace ocoee::plan
