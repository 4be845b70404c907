// SPDX-License-Identifier: Apache-2.0
// Spans of time on named tracks: one row a track, grouped by rank; nested spans lie below their
// parents.
#pragma once

#include <string>
#include <vector>

namespace ocoee::report {

struct TimelineSpan {
  std::string name;
  double begin = 0, end = 0;  // seconds
};

struct TimelineTrack {
  std::string group;  // "rank 0"
  std::string name;   // "compute", "comm:data"
  std::vector<TimelineSpan> spans;
};

struct Timeline {
  std::string title, description;
  double begin = 0, end = 0;  // the window shown, seconds
  std::vector<TimelineTrack> tracks;
  std::vector<TimelineSpan> marks;  // steps: a faint boundary and a name above
  double width = 920;
};

std::string timeline(const Timeline& picture);

// The colour of a kind of work, the same in every picture: forward, backward, optimizer,
// communication, data, ...
int work_colour(const std::string& name);

}  // namespace ocoee::report
