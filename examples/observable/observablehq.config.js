export default {
  title: "Engagement funnel",
  root: "src",
  output: "dist",
  // Fonts and libraries of others' servers are left out: everything comes from node_modules.
  globalStylesheets: [],
  search: false,
  footer: "",
  pages: [],
};
