// SPDX-License-Identifier: Apache-2.0
// How far a long piece of work is: a bar that redraws itself on a terminal, plain lines in a batch
// log, with the time that is left and, where the job has one, the wall time that is left.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace ocoee {

// Seconds until the limit of this Slurm job, by SLURM_JOB_END_TIME; negative without Slurm or a
// limit.
double slurm_seconds_left();

class Progress {
 public:
  struct Options {
    int64_t first = 0, total = 0;  // of this run: it goes on from `first`
    double wall_seconds = 0;       // until the limit, from now; 0 = none
    bool terminal = false;
    int64_t lines = 40;  // about so many lines in a batch log of a short run; see seconds_between()
    int width = 24;      // of the bar
    std::FILE* out = stdout;
  };
  // Whether a person looks at `out` on a terminal that can redraw a line.
  static bool is_terminal(std::FILE* out);

  // `now` is any clock in seconds, the same in update().
  Progress(const Options& options, double now);
  ~Progress();
  Progress(const Progress&) = delete;

  // `done` of total; `text` is what to say of it. A batch log shows some of these, and the last
  // one. A run may be many jobs long, so a job's log waits for no share of the run longer than
  // this: half a minute at first, five at last.
  static double seconds_between(double elapsed);
  void update(int64_t done, const std::string& text, double now);
  // What `total` is now known to be: of work whose length is an estimate, it changes on the way.
  void expect(int64_t total) { options_.total = total; }
  // Between updates: the bar and its times move on, with the text of the last update.
  void tick(int64_t done, double now);
  void say(const std::string& line);  // a line of its own; the bar moves below it
  void finish();                      // the bar stays as it is, the cursor goes to the next line

  // What an update says of time: time left (or taken, at the end), wall time left.
  std::string time_for(int64_t done, double now) const;

 private:
  void count(int64_t done, double now);
  void draw(int64_t done, double now);

  Options options_;
  double begin_;
  int64_t rate_first_;  // the time left is reckoned from here
  double rate_begin_, drawn_ = 0, said_;
  std::string text_;
  int64_t next_line_;
  std::string bar_;  // what stands on the terminal's last line
};

}  // namespace ocoee
