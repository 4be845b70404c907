// SPDX-License-Identifier: Apache-2.0
// The shell of a self-contained HTML page: inline style, inline script, nothing fetched from
// anywhere. Reports of runs, plans and tuners use the same shell.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace ocoee::report {

// A picture with its caption. `title` and `caption` are plain text; `picture` is markup (an Svg, a
// table).
std::string figure(const std::string& title, const std::string& picture,
                   const std::string& caption = "");

// A wide picture drawn twice: for screens of ordinary width, and for narrow ones (page width in
// pixels).
std::string responsive(const std::function<std::string(double width)>& draw);

std::string grid(const std::vector<std::string>& parts);  // two columns, one on narrow screens
std::string paragraph(const std::string& text);           // plain text, escaped
std::string notice(const std::string& text);  // plain text that should not be overlooked
std::string fold(const std::string& summary, const std::string& markup, bool open = false);
std::string code_block(const std::string& text);  // plain text, kept as it is
std::string toml_block(const std::string& toml);  // with comments, tables and keys set apart

// A headline figure: what, how much, beside what.
struct Tile {
  std::string label;
  std::string value;
  std::string unit;
  std::string note;  // second line, plain text
  enum class Mood { neutral, better, worse } mood = Mood::neutral;
  bool large = false;
  std::string picture = {};  // markup beside the figure
};
// Cards where the first is large, else one line of facts.
std::string tiles(const std::vector<Tile>& tiles);

constexpr double kWide = 920, kHalf = 444, kNarrow = 520;  // widths of pictures, pixels

class Page {
 public:
  explicit Page(std::string title) : title_(std::move(title)) {}
  // `id` is a short word of letters, digits and hyphens; an empty `markup` leaves the section out.
  void add(const std::string& id, const std::string& title, const std::string& markup);
  void set_header(std::string markup) { header_ = std::move(markup); }
  void set_footer(std::string markup) { footer_ = std::move(markup); }
  std::string str() const;

 private:
  struct Section {
    std::string id, title, markup;
  };
  std::string title_, header_, footer_;
  std::vector<Section> sections_;
};

const char* page_style();   // CSS
const char* page_script();  // JavaScript: hover texts, saving of pictures

}  // namespace ocoee::report
