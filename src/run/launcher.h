// SPDX-License-Identifier: Apache-2.0
// Programs of others, run as children: each in a folder and a process group of its own, with an
// environment that says nothing of this process's rank (a child that is an MPI program begins a
// world of its own), standard input empty, outputs kept. A child dies with its parent.
//
// How a child ends is told, never thrown: a crash, a hang, an exit code. Only a program that cannot
// be started at all, or a folder that cannot be written, is an Error.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ocoee::run {

struct ChildJob {
  std::vector<std::string>
      command;  // the program (a path, or a name looked up in PATH) and its arguments
  std::filesystem::path folder;                    // where it runs; made when it is not there
  std::map<std::string, std::string> files;        // input files by name, written before it starts
  std::map<std::string, std::string> environment;  // added to, or in place of, what it inherits
  // Seconds until it is killed as hung. Where a name stands in `grows`, the time runs anew whenever
  // that file of the folder has grown.
  double timeout = 600;
  std::string grows;
  std::function<void()> grown;  // called whenever it has, while the child runs
};

struct ChildEnd {
  enum class How { exited, killed, hung } how = How::exited;
  int code = 0;  // of exit, or the signal's number
  double seconds = 0;
  bool succeeded() const { return how == How::exited && code == 0; }
  std::string text() const;  // "ended with code 3", "was killed by signal 11 (Segmentation fault)"
};

// Standard output and error go to `stdout` and `stderr` in the folder. Error(config) when there is
// no such program, Error(file) when the folder cannot be written.
ChildEnd run_child(const ChildJob& job);

// Runs `count` pieces of work on `workers` threads, in any order; the first exception is thrown
// when all threads have ended.
void run_side_by_side(size_t count, int workers, const std::function<void(size_t)>& work);

// This process's environment less what launchers (Open MPI, MPICH, PMIx, Slurm, torchrun) tell a
// rank.
std::map<std::string, std::string> environment_without_launcher();

// The file that `program` names, by PATH; empty when there is none.
std::filesystem::path find_program(const std::string& program);

}  // namespace ocoee::run
