// SPDX-License-Identifier: Apache-2.0
#include "report/page.h"

#include <string_view>

#include "core/text.h"
#include "report/markup.h"

namespace ocoee::report {

std::string figure(const std::string& title, const std::string& picture,
                   const std::string& caption) {
  std::string out = "<figure>";
  if (!title.empty()) out += "<h3>" + escape(title) + "</h3>";
  out += picture;
  if (!caption.empty()) out += "<figcaption>" + escape(caption) + "</figcaption>";
  return out + "</figure>\n";
}

std::string responsive(const std::function<std::string(double width)>& draw) {
  return "<div class=\"at-wide\">" + draw(kWide) + "</div><div class=\"at-narrow\">" +
         draw(kNarrow) + "</div>";
}

std::string grid(const std::vector<std::string>& parts) {
  std::string out = "<div class=\"grid\">\n";
  for (const std::string& part : parts) out += part;
  return out + "</div>\n";
}

std::string paragraph(const std::string& text) {
  return "<p>" + escape(text) + "</p>\n";
}

std::string notice(const std::string& text) {
  return "<p class=\"notice\">" + escape(text) + "</p>\n";
}

std::string fold(const std::string& summary, const std::string& markup, bool open) {
  return std::string("<details") + (open ? " open=\"open\"" : "") + "><summary>" + escape(summary) +
         "</summary>" + markup + "</details>\n";
}

std::string code_block(const std::string& text) {
  return "<pre><code>" + escape(text) + "</code></pre>\n";
}

std::string toml_block(const std::string& toml) {
  std::string out = "<pre><code>";
  for (const std::string& line : split(toml, '\n')) {
    const std::string_view bare = trim(line);
    // a # inside a string is not a comment
    size_t comment = std::string::npos;
    char quote = 0;
    for (size_t i = 0; i < line.size() && comment == std::string::npos; ++i) {
      if (quote == 0 && line[i] == '#') comment = i;
      if (line[i] == '"' || line[i] == '\'')
        quote = quote == 0 ? line[i] : quote == line[i] ? 0 : quote;
    }
    const std::string code = line.substr(0, comment);
    const size_t equals = code.find('=');
    if (!bare.empty() && bare[0] == '[') {
      out += "<b>" + escape(code) + "</b>";
    } else if (equals != std::string::npos) {
      out += "<span class=\"key\">" + escape(code.substr(0, equals)) + "</span>" +
             escape(code.substr(equals));
    } else {
      out += escape(code);
    }
    if (comment != std::string::npos) out += "<i>" + escape(line.substr(comment)) + "</i>";
    out += "\n";
  }
  return out + "</code></pre>\n";
}

std::string tiles(const std::vector<Tile>& list) {
  if (list.empty()) return "";
  const bool large = list.front().large;
  std::string out = large ? "<div class=\"tiles\">\n" : "<div class=\"facts\">\n";
  for (const Tile& tile : list) {
    constexpr const char* moods[] = {"", " better", " worse"};
    out += std::string("<div class=\"") + (large ? "tile" : "fact") +
           moods[static_cast<int>(tile.mood)] + "\"><div>";
    out += "<div class=\"label\">" + escape_limited(tile.label, 120) +
           "</div><div class=\"value\">" + escape_limited(tile.value, 40);
    if (!tile.unit.empty())
      out += " <span class=\"unit\">" + escape_limited(tile.unit, 40) + "</span>";
    out += "</div>";
    if (!tile.note.empty())
      out += "<div class=\"note\">" + escape_limited(tile.note, 300) + "</div>";
    out += "</div>" + tile.picture + "</div>\n";
  }
  return out + "</div>\n";
}

void Page::add(const std::string& id, const std::string& title, const std::string& markup) {
  if (!markup.empty()) sections_.push_back({id, title, markup});
}

std::string Page::str() const {
  std::string out =
      "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n<meta "
      "charset=\"utf-8\"/>\n";
  out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n";
  out +=
      "<meta name=\"color-scheme\" content=\"light dark\"/>\n<meta name=\"generator\" "
      "content=\"Ocoee\"/>\n";
  out += "<title>" + escape_limited(title_, 200) + "</title>\n<style>\n" + page_style() +
         "</style>\n</head>\n<body>\n<main>\n";
  out += header_;
  if (sections_.size() > 2) {
    out += "<nav aria-label=\"Sections\">";
    for (const Section& section : sections_)
      out += "<a href=\"#" + section.id + "\">" + escape(section.title) + "</a> ";
    out += "</nav>\n";
  }
  for (const Section& section : sections_)
    out += "<section id=\"" + section.id + "\">\n<h2>" + escape(section.title) + "</h2>\n" +
           section.markup + "</section>\n";
  out += footer_;
  return out + "</main>\n<script>\n//<![CDATA[\n" + page_script() +
         "//]]>\n</script>\n</body>\n</html>\n";
}

}  // namespace ocoee::report
