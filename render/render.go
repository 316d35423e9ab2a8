// Package render is the phase that shows: it writes rulesets, plans and models as text for people and for other tools.
//
// It takes the finished values of the compiler, a [graph.Ruleset], a [plan.Plan] or the Services of a [resolve.Model],
// and writes them to an io.Writer: as an nft script ([NFT], [PlanNFT]), as libnftables JSON ([JSON]), as a picture ([DOT],
// [ServicesDOT], [ServicesSVG]), as a review ([ReviewText], [ReviewMarkdown], [PlanText], [PlanJSON], [UnifiedDiff]), in
// kubectl's layouts ([ServiceTable], [DescribeService], [Printer]) or as environment variables ([Env]). It may assume what
// graph.Check promises: references resolve, elements are sorted and have the types of their sets. It reads no clock and no
// environment, never writes colour unless asked, and the same input gives the same bytes. What the graph holds and a format
// cannot express is an error, never left out in silence.
package render
