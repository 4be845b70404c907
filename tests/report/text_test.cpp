// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/random.h"
#include "report/markup.h"
#include "report/numbers.h"
#include "report/page.h"
#include "report/svg.h"
#include "report/xml_check.h"

namespace ocoee::report {
namespace {

using testing_support::read_xml;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(Escape, MakesMarkupHarmless) {
  EXPECT_EQ(escape("<script>alert('x' & \"y\")</script>"),
            "&lt;script&gt;alert(&#39;x&#39; &amp; &quot;y&quot;)&lt;/script&gt;");
  EXPECT_EQ(escape("a\r\nb\tc"), "a\nb\tc");
  EXPECT_EQ(escape(std::string("a\0b", 3)), "a\uFFFDb");
  EXPECT_EQ(escape("\xC3\xA9\xFF\xC3"), "\u00E9\uFFFD\uFFFD");  // broken at the end
  EXPECT_EQ(escape("\xED\xA0\x80"), "\uFFFD");                  // a surrogate
  EXPECT_EQ(escape("\xC0\xAF"), "\uFFFD\uFFFD");                // overlong
  EXPECT_EQ(escape("\xEF\xBF\xBF"), "\uFFFD");                  // U+FFFF is no character
  EXPECT_EQ(escape("\xF0\x9F\xA7\xAC"), "\U0001F9EC");
}

TEST(Escape, AnyBytesGiveWellFormedText) {
  RandomStream random(1, Purpose::noise, 0, 0);
  for (int round = 0; round < 300; ++round) {
    std::string bytes;
    for (int i = 0; i < 200; ++i) bytes += static_cast<char>(random.below(256));
    const std::string text = escape(bytes);
    EXPECT_EQ(read_xml("<p a=\"" + text + "\">" + text + "</p>").error, "");
    EXPECT_EQ(read_xml("<p>" + escape(shorten(bytes, 50)) + "</p>").error, "");
    EXPECT_EQ(read_xml("<div>" + toml_block(bytes) + "</div>").error, "");
  }
}

TEST(Escape, LimitsCountCharactersNotBytes) {
  EXPECT_EQ(shorten("\u00E9\u00E9\u00E9", 3), "\u00E9\u00E9\u00E9");
  EXPECT_EQ(shorten("\u00E9\u00E9\u00E9", 2), "\u00E9\u00E9\u2026");
  EXPECT_EQ(escape_limited("<<<", 2), "&lt;&lt;\u2026");
}

TEST(XmlCheck, FindsWhatIsWrong) {  // the checker itself must be able to fail
  EXPECT_EQ(read_xml("<a b=\"1\"><c/>x &amp; y</a>").error, "");
  for (const char* bad :
       {"<a>", "<a></b>", "<a b=1></a>", "<a>&nbsp;</a>", "<a>\x01</a>", "<a b=\"<\"></a>",
        "<a>\xFF</a>", "<a b=\"1\" b=\"2\"/>", "<a><b id=\"x\"/><b id=\"x\"/></a>", "x<a/>"})
    EXPECT_NE(read_xml(bad).error, "") << bad;
}

TEST(Numbers, ReadAsAPersonWritesThem) {
  EXPECT_EQ(grouped(4639675), "4\u202F639\u202F675");
  EXPECT_EQ(grouped(9999), "9999");
  EXPECT_EQ(fixed(-0.0412, 4), "\u22120.0412");
  EXPECT_EQ(fixed(-0.00001, 2), "0.00");  // no "-0.00"
  EXPECT_EQ(significant(1.89312), "1.893");
  EXPECT_EQ(significant(132412.7), "132\u202F413");
  EXPECT_EQ(significant(0.0004), "4\u202F\u00D7\u202F10\u207B\u2074");
  EXPECT_EQ(scientific(1e-3, 3), "10\u207B\u00B3");
  EXPECT_EQ(scientific(-2.5e12, 3), "\u22122.5\u202F\u00D7\u202F10\u00B9\u00B2");
  EXPECT_EQ(compact(834176), "834\u202Fk");
  EXPECT_EQ(compact(21299200), "21.3\u202FM");
  EXPECT_EQ(compact(999999), "1.00\u202FM");
  EXPECT_EQ(compact(650), "650");
  EXPECT_EQ(percent(0.3348), "33.5\u202F%");
  EXPECT_EQ(percent(0.0004), "0.04\u202F%");
  EXPECT_EQ(exact(1.9305), "1.9305");
  EXPECT_EQ(exact(1.5), "1.5");
  EXPECT_EQ(exact(7), "7");
  EXPECT_EQ(exact(1.0 / 3), "0.3333");
  EXPECT_EQ(exact(std::nan("")), "NaN");
  EXPECT_EQ(significant(-INFINITY), "\u2212\u221E");
}

TEST(Numbers, AreShownAsFarAsTheyAreKnown) {
  EXPECT_EQ(with_error(-12.3456789, 0.5612), "\u221212.35 \u00B1 0.56");
  EXPECT_EQ(with_error(3.14159, 0.0996), "3.14 \u00B1 0.10");  // not 0.100
  EXPECT_EQ(with_error(0.00412, 3.44), "0.0 \u00B1 3.4");
  EXPECT_EQ(with_error(1234.567, 21.3), "1235 \u00B1 21");
  EXPECT_EQ(with_error(56789, 1234), "56\u202F800 \u00B1 1200");
  EXPECT_EQ(with_error(1.2345e-8, 3.21e-9), "(1.23 \u00B1 0.32)\u202F\u00D7\u202F10\u207B\u2078");
  for (const double none : {0.0, kNaN, 1e-30, static_cast<double>(INFINITY)})
    EXPECT_EQ(with_error(-1.23456789, none), "\u22121.23457") << none;
  EXPECT_EQ(with_error(kNaN, 1), "NaN");
  EXPECT_EQ(rounded(1234.56789), "1234.57");
  EXPECT_EQ(rounded(0.000123456789), "0.000123457");
  EXPECT_EQ(rounded(663.4), "663.4");
  EXPECT_EQ(rounded(12345678), "12\u202F345\u202F678");
  EXPECT_EQ(rounded(-1234567.8), "\u22121\u202F234\u202F568");
}

TEST(Svg, CoordinatesAreShortAndFinite) {
  EXPECT_EQ(coordinate(1), "1");
  EXPECT_EQ(coordinate(0.125), "0.12");
  EXPECT_EQ(coordinate(-0.001), "0");
  EXPECT_EQ(coordinate(1234.5), "1234.5");
  EXPECT_ANY_THROW(coordinate(NAN));
  EXPECT_EQ(path_through({{0, 0}, {1, 2}, {NAN, NAN}, {3, 4}}), "M0,0L1,2M3,4L3,4");
}

TEST(Toml, SetsCommentsTablesAndKeysApart) {
  const std::string block = toml_block("[run]\nname = \"a#b\" # note\n");
  EXPECT_NE(block.find("<b>[run]</b>"), std::string::npos);
  EXPECT_NE(block.find("<i># note</i>"), std::string::npos);
  EXPECT_NE(block.find("&quot;a#b&quot;"), std::string::npos);
}

}  // namespace
}  // namespace ocoee::report
